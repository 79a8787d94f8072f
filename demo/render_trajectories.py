"""Renders MuJoCo's HalfCheetah in twelve behaviours and writes the shipped clips.

    uv run --extra demo demo/render_trajectories.py

Writes trajectories/cheetah_*.mp4, three takes of each behaviour, and their list
trajectories_lists/cheetah.txt. Rendering off screen needs EGL (Debian: libegl1 libgl1), or
OSMesa (libosmesa6) with MUJOCO_GL=osmesa.
"""

import os
from pathlib import Path

os.environ.setdefault("MUJOCO_GL", "egl")  # before mujoco is imported

import av
import gymnasium
import mujoco
import numpy as np
from behaviours import BEHAVIOURS, TAKES, clip_name

ROOT = Path(__file__).resolve().parent.parent
SHIPPED_SEED = 7_000_100  # take k of behaviour i has 1_000 (k - 1) + i more; training uses others
FPS = 25


class Stage:
    """The cheetah on its floor, and a camera. One stage renders many clips."""

    def __init__(self, size):
        """size: pixels of the square picture."""
        xml = Path(gymnasium.__file__).parent / "envs/mujoco/assets/half_cheetah.xml"
        spec = mujoco.MjSpec.from_file(str(xml))
        # Large squares: the 32 sampled frames are a quarter of a second apart, and if the floor
        # moved by half a pattern between two of them, its direction would be ambiguous.
        spec.material("MatPlane").texrepeat = [16, 16]
        spec.texture("texplane").rgb1 = [0.4, 0.4, 0.4]
        spec.compiler.settotalmass = -1  # it causes a warning, and masses do not matter here
        self.model = spec.compile()
        self.model.vis.global_.offwidth = self.model.vis.global_.offheight = size
        self.data = mujoco.MjData(self.model)
        self.renderer = mujoco.Renderer(self.model, size, size)
        self.floor = self.model.geom("floor").id
        self.colours = self.model.geom_rgba.copy()

    def clip(self, behaviour, seed, times=None):
        """Renders one clip. The seed fixes the style, the camera, the colours and the length.

        times: int n for n frames spread evenly over the clip, None for FPS frames a second.
        Returns uint8 [T, size, size, 3], RGB.
        """
        rng = np.random.default_rng(seed)
        seconds = rng.uniform(5, 8)
        pose = BEHAVIOURS[behaviour](rng, seconds)

        self.model.geom_rgba[:] = self.colours
        self.model.geom_rgba[:, :3] *= rng.uniform(0.8, 1.2, 3)
        self.model.geom_rgba[self.floor, :3] = rng.uniform(0.6, 1, 3)
        self.model.light_diffuse[:] = rng.uniform(0.7, 1.1)

        camera = mujoco.MjvCamera()
        camera.azimuth = rng.choice([-90, 90]) + rng.uniform(-35, 35)
        camera.elevation = rng.uniform(-25, -6)
        camera.distance = rng.uniform(2.7, 3.6)
        start, height, drift = rng.uniform(-4, 4), rng.uniform(0.5, 0.7), rng.uniform(0.35, 0.5)
        centre = rng.uniform(-0.15, 0.15)

        n = times or round(seconds * FPS)
        travel = pose(seconds)[0]
        # The camera lags behind, so that an animal that travels also crosses the picture.
        slip = min(1.0, 2 * drift / max(abs(travel), 1e-9))
        frames = []
        for t in np.arange(n) * seconds / n:
            x, *_ = state = pose(t)
            self.place(start, state)
            camera.lookat = [start + x - slip * (x - travel / 2) + centre, 0, height]
            frames.append(self.picture(camera))
        return np.stack(frames)

    def picture(self, camera):
        """What the camera sees now, uint8 [size, size, 3], RGB."""
        self.renderer.update_scene(self.data, camera)
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            self.renderer.scene.flags[flag] = 0  # six times faster without
        return self.renderer.render()

    def place(self, start, state):
        """Sets the joints, then the height that leaves `lift` between the ground and the body."""
        x, lift, pitch, legs = state
        self.data.qpos[:] = [start + x, 0, pitch, *legs]
        mujoco.mj_kinematics(self.model, self.data)
        body = np.arange(self.model.ngeom) != self.floor
        radius, half = self.model.geom_size[body, :2].T  # capsules
        tilt = np.abs(self.data.geom_xmat[body, 8])  # cosine of a capsule's axis with the vertical
        lowest = (self.data.geom_xpos[body, 2] - half * tilt - radius).min()
        self.data.qpos[1] = lift - lowest
        mujoco.mj_forward(self.model, self.data)


def write_video(path, frames, fps=FPS):
    """Writes uint8 [T, H, W, 3] as h264 in mp4."""
    with av.open(str(path), "w") as container:
        options = {"crf": "27", "preset": "veryslow"}
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def main():
    stage = Stage(480)
    folder = ROOT / "trajectories"
    folder.mkdir(exist_ok=True)
    lines = ["# HalfCheetah at twelve behaviours, in the groups of prompts/cheetah_prompts.txt"]
    for i, behaviour in enumerate(BEHAVIOURS):
        lines.append(f"[{behaviour.replace('_', ' ')}]")
        for take in range(1, TAKES + 1):
            path = folder / clip_name(behaviour, take)
            frames = stage.clip(behaviour, SHIPPED_SEED + 1_000 * (take - 1) + i)
            write_video(path, frames)
            lines.append(str(path.relative_to(ROOT)))
            kilobytes = path.stat().st_size / 1000
            print(f"{path.relative_to(ROOT)}: {len(frames) / FPS:.1f} s, {kilobytes:.0f} kB")
    (ROOT / "trajectories_lists").mkdir(exist_ok=True)
    (ROOT / "trajectories_lists/cheetah.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
