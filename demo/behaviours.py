"""Twelve things the HalfCheetah does, as poses over time.

The cheetah moves in a plane: it has one back leg and one front leg of three joints each. Nothing
is simulated. A behaviour draws its style (speed, stride, phase ...) from a random generator and
returns a function of the time in seconds:

    pose = BEHAVIOURS["run"](rng, seconds)
    x, lift, pitch, legs = pose(1.5)

    x      metres travelled; the cheetah faces +x
    lift   metres between the ground and the lowest point of the body
    pitch  radians, positive is nose down
    legs   radians of bthigh bshin bfoot fthigh fshin ffoot; a positive thigh points backwards
"""

import numpy as np

STAND = np.zeros(6)
CROUCH = np.array([-0.35, 0.75, 0.3, 0.45, -0.95, 0.1])
TUCK = np.array([-0.5, 0.78, 0.5, 0.6, -1.2, -0.4])
STRETCH = np.array([0.55, -0.6, 0.3, -0.35, 0.5, 0.3])
LIMP = np.array([0.5, 0.3, 0.2, -0.3, -0.2, 0.0])


def smooth(u):
    """0 below u = 0, 1 above u = 1, with a continuous derivative between."""
    u = np.clip(u, 0, 1)
    return u * u * (3 - 2 * u)


def stride(angle, reach, fold):
    """One cycle of a leg: on the ground it sweeps back, in the air it folds and swings forward."""
    return reach * np.sin(angle), fold * max(0.0, -np.cos(angle))


def gait(angle, lag, reach, fold):
    """Both legs of a four-footed gait: [6] radians. The front leg is `lag` radians behind."""
    back, back_fold = stride(angle, reach, fold)
    front, front_fold = stride(angle - lag, reach, fold)
    return np.array([0.1 + back, back_fold, 0.2 * back, -0.05 + front, -1.2 * front_fold, 0])


def run(rng, seconds):
    speed, hz = rng.uniform(1.5, 2.3), rng.uniform(1.5, 2.1)
    start, lag, lean = rng.uniform(0, 2 * np.pi), rng.uniform(1.8, 2.8), rng.uniform(0.06, 0.18)

    def pose(t):
        angle = start + 2 * np.pi * hz * t
        return (
            speed * t,
            0.08 * max(0, np.sin(angle + 2)),
            lean + 0.12 * np.sin(angle),
            gait(angle, lag, 0.6, 0.7),
        )

    return pose


def run_backwards(rng, seconds):
    speed, hz = rng.uniform(1.3, 2.1), rng.uniform(1.4, 1.9)
    start, lag, lean = rng.uniform(0, 2 * np.pi), rng.uniform(1.8, 2.8), rng.uniform(0.18, 0.3)

    def pose(t):
        angle = start - 2 * np.pi * hz * t
        return (
            -speed * t,
            0.08 * max(0, np.sin(angle + 2)),
            -lean + 0.12 * np.sin(angle),
            gait(angle, lag, 0.55, 0.7),
        )

    return pose


def walk_slowly(rng, seconds):
    speed, hz = rng.uniform(0.25, 0.42), rng.uniform(0.5, 0.75)
    start, lag = rng.uniform(0, 2 * np.pi), rng.uniform(2.6, 3.6)

    def pose(t):
        angle = start + 2 * np.pi * hz * t
        return speed * t, 0.0, 0.03 * np.sin(angle), gait(angle, lag, 0.25, 0.35)

    return pose


def walk_on_back_legs(rng, seconds):
    speed, hz, start = rng.uniform(0.35, 0.7), rng.uniform(0.8, 1.3), rng.uniform(0, 2 * np.pi)
    tilt, wave = rng.uniform(1.05, 1.3), rng.uniform(0.15, 0.45)

    def pose(t):
        angle = start + 2 * np.pi * hz * t
        back, fold = stride(angle, 0.25, 0.5)
        paw = wave * np.sin(angle + 1)
        legs = np.array([tilt - 0.3 + back, fold - 0.1, 0.1, 0.1 + paw, -0.6 + paw, 0])
        return speed * t, 0.0, -tilt + 0.06 * np.sin(angle), legs

    return pose


def walk_on_front_legs(rng, seconds):
    speed, hz, start = rng.uniform(0.35, 0.7), rng.uniform(0.8, 1.3), rng.uniform(0, 2 * np.pi)
    tilt, wave = rng.uniform(0.95, 1.2), rng.uniform(0.15, 0.45)

    def pose(t):
        angle = start + 2 * np.pi * hz * t
        front, fold = stride(angle, 0.25, 0.5)
        paw = wave * np.sin(angle + 1)
        legs = np.array([0.3 + paw, 0.2 + paw, 0.2, -tilt + 0.1 + front, 0.2 - fold, 0])
        return speed * t, 0.0, tilt + 0.06 * np.sin(angle), legs

    return pose


def crawl(rng, seconds):
    speed, hz, start = rng.uniform(0.2, 0.4), rng.uniform(0.5, 0.9), rng.uniform(0, 2 * np.pi)
    reach = rng.uniform(0.15, 0.3)

    def pose(t):
        angle = start + 2 * np.pi * hz * t
        back, front = reach * np.sin(angle), reach * np.sin(angle + np.pi)
        legs = np.array([1.05 + back, 0.6 - back, -0.3, -1.0 + front, -0.6 - front, 0.2])
        return speed * t, 0.0, 0.05 * np.sin(angle), legs

    return pose


def kick_on_back(rng, seconds):
    hz, start, lag = rng.uniform(0.8, 1.8), rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 5.5)
    rock = rng.uniform(0.02, 0.1)

    def pose(t):
        back, front = np.sin(start + 2 * np.pi * hz * t), np.sin(start + lag + 2 * np.pi * hz * t)
        legs = np.array([0.25 + 0.7 * back, 0.6 * back, 0.2, -0.1 + 0.7 * front, 0.7 * front, 0])
        return 0.0, 0.0, np.pi - 0.16 + rock * back, legs

    return pose


def jump(rng, seconds):
    period, height, speed = rng.uniform(1.0, 1.6), rng.uniform(0.5, 0.9), rng.uniform(0, 0.35)
    start = rng.uniform(0, 1)

    def pose(t):
        cycle = (start + t / period) % 1
        u = (cycle - 0.4) / 0.6  # in the air for u in 0..1
        crouch = np.sin(np.pi * min(cycle / 0.4, 1))
        tuck = np.sin(np.pi * max(u, 0))
        legs = crouch * CROUCH + tuck * TUCK + (1 - crouch) * (1 - tuck) * 0.4 * STRETCH
        return (
            speed * t,
            4 * height * max(u, 0) * (1 - max(u, 0)),
            0.12 * np.sin(2 * np.pi * u) * (u > 0),
            legs,
        )

    return pose


def somersault(rng, seconds):
    period, height, way = rng.uniform(1.3, 2.0), rng.uniform(0.35, 0.6), rng.choice([-1, 1])
    start, step = rng.uniform(0, 1), rng.uniform(0.3, 0.7)

    def pose(t):
        turns, cycle = divmod(start + t / period, 1)
        u = np.clip((cycle - 0.2) / 0.8, 0, 1)
        tuck = np.sin(np.pi * u)
        crouch = np.sin(np.pi * min(cycle / 0.2, 1))
        pitch = way * 2 * np.pi * (0.6 * u + 0.4 * smooth(u))
        return (
            way * step * (turns + u),
            4 * height * u * (1 - u),
            pitch,
            tuck * TUCK + crouch * CROUCH,
        )

    return pose


def fall_over(rng, seconds):
    way = rng.choice([-1, 1])  # over its tail, or over its head
    moment, takes = rng.uniform(0.25, 0.5) * seconds, rng.uniform(0.8, 1.2)
    sway, speed = rng.uniform(0.02, 0.06), rng.choice([0, 0.3])
    walking = walk_slowly(rng, seconds)

    def pose(t):
        u = (t - moment) / takes
        x, _, pitch, legs = (
            walking(min(t, moment)) if speed else (0, 0, sway * np.sin(9 * t), STAND)
        )
        fallen = np.clip(u, 0, 1) ** 2.2
        bounce = 0.12 * np.exp(-3 * (u - 1)) * abs(np.sin(5 * (u - 1))) if u > 1 else 0
        down = (
            np.pi - 0.16 if way > 0 else -np.pi - 0.16
        )  # both lie on the back, head and tail on the ground
        return (
            x + way * 0.7 * fallen,
            0.0,
            pitch * (u < 0) + fallen * down - way * bounce,
            (1 - fallen) * legs + fallen * LIMP,
        )

    return pose


def tremble(rng, seconds):
    size, hz = rng.uniform(0.8, 1.3), rng.uniform(5, 8)
    # three waves of different frequencies for each joint: it never repeats and never rests
    waves, starts = hz * rng.uniform(0.7, 1.3, (3, 8)), rng.uniform(0, 2 * np.pi, (3, 8))

    def pose(t):
        shake = size * np.sin(2 * np.pi * waves * t + starts).mean(0)
        return 0.08 * shake[6], 0.0, 0.2 * shake[7], 0.5 * shake[:6]

    return pose


def stand_still(rng, seconds):
    legs, pitch = STAND + rng.uniform(-0.12, 0.12, 6), rng.uniform(-0.04, 0.04)
    return lambda t: (0.0, 0.0, pitch, legs)


BEHAVIOURS = {
    f.__name__: f
    for f in (
        run,
        run_backwards,
        walk_slowly,
        walk_on_back_legs,
        walk_on_front_legs,
        crawl,
        kick_on_back,
        jump,
        somersault,
        fall_over,
        tremble,
        stand_still,
    )
}

TAKES = 3  # clips of each behaviour that are shipped


def clip_name(behaviour, take):
    """The file name of a shipped clip; takes count from 1."""
    return f"cheetah_{behaviour}.mp4" if take == 1 else f"cheetah_{behaviour}_{take}.mp4"
