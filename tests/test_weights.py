"""weights.py against every kind of wrong file."""

import hashlib
import os
import pickle
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import refused
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from trajeval import weights
from trajeval.terminal import UserError

URL = "https://example.invalid/howto/published.pth"
BODY = bytes(range(256)) * 1200  # 307,200 bytes
HTML = b"\n<!DOCTYPE html><html><body>Please log in to the network</body></html>"


# --- reading


class Bomb:
    """Pickles to a call that writes a file."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def tiny_network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv1d(2, 3, 1), torch.nn.BatchNorm1d(3))


def save(state_dict, path, form):
    if form == "safetensors":
        save_file(state_dict, path)
    else:
        torch.save(state_dict, path, _use_new_zipfile_serialization=form == "new")


FORMS = ["old", "new", "safetensors"]


@pytest.mark.parametrize("extension", [".pth", ".safetensors", ".bin", ""])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("form", FORMS)
def test_reads_every_format_whatever_the_extension(tmp_path, form, dtype, extension):
    expected = tiny_network().to(dtype).state_dict()
    path = tmp_path / f"file{extension}"
    save(expected, path, form)
    found = weights.load_state_dict(path)
    assert type(found) is dict
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert found[name].device.type == "cpu"
        assert torch.equal(found[name], value)
    weights.load_into(tiny_network().to(dtype), found, path)


def test_reads_without_a_warning(tmp_path, recwarn):
    for form in FORMS:
        save(tiny_network().state_dict(), tmp_path / form, form)
        weights.load_state_dict(tmp_path / form)
    assert [str(w.message) for w in recwarn] == []


def make_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")


def make_torchscript(path):
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("version", "data.pkl", "constants.pkl"):
            archive.writestr(f"net/{name}", "3")


def make_tar(path):
    with tarfile.open(path, "w") as archive:
        archive.add(__file__)


def make_gzip(path):
    with tarfile.open(path, "w:gz") as archive:
        archive.add(__file__)


def make_dictionary(path):
    with open(path, "wb") as file:
        np.save(file, np.array(["open", "door"]))


def make_nested(path):
    torch.save({"epoch": 3, "state_dict": tiny_network().state_dict()}, path)


def make_half_safetensors(path):
    save_file(tiny_network().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-1])


def cut(form, share):
    def make(path):
        save(tiny_network().state_dict(), path, form)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return make


def content(data):
    return lambda path: path.write_bytes(data)


def saved(thing):
    return lambda path: torch.save(thing, path)


WRONG_FILES = {
    "missing": (lambda path: None, "does not exist."),
    "folder": (lambda path: path.mkdir(), "is a folder, not a file."),
    "link": (lambda path: path.symlink_to("gone"), "is a broken symbolic link."),
    "device": (lambda path: path.symlink_to("/dev/null"), "is not a regular file."),
    "empty": (content(b""), "is empty."),
    "html": (content(HTML), "is a web page (HTML), not weights."),
    "html with mark": (content(b"\xef\xbb\xbf" + HTML), "is a web page (HTML), not weights."),
    "pointer": (
        content(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
        "is a git-LFS pointer (`git lfs pull` gets the file itself), not weights.",
    ),
    "text": (
        content(b"Entry not found"),
        "is neither a PyTorch checkpoint nor safetensors "
        "(15 bytes, beginning with b'Entry not found').",
    ),
    "npy": (make_dictionary, "is a NumPy array, not weights."),
    "hdf5": (content(b"\x89HDF\r\n\x1a\n" + BODY), "is an HDF5 file, not weights."),
    "zip": (make_zip, "is a zip archive that PyTorch did not write (it holds readme.txt)."),
    "torchscript": (
        make_torchscript,
        "is a TorchScript program, not a state dict, and was not run.",
    ),
    "tar": (make_tar, "is a tar archive, not weights."),
    "gzip": (make_gzip, "is a gzip archive, not weights."),
    "noise": (content(BODY[1:]), "is neither a PyTorch checkpoint nor safetensors (307,199 bytes"),
    "half old": (cut("old", 0.5), "is a PyTorch checkpoint, but damaged or cut short ("),
    "most of old": (cut("old", 0.99), "is a PyTorch checkpoint, but damaged or cut short ("),
    "half new": (cut("new", 0.5), "is a PyTorch checkpoint or zip archive, but damaged or cut"),
    "half safe": (cut("safetensors", 0.2), "is a safetensors file, but damaged or cut short ("),
    "most of safe": (
        cut("safetensors", 0.99),
        "is a safetensors file, but damaged or cut short (",
    ),
    "pickle": (
        content(pickle.dumps({"a": 1}, protocol=2)),
        "is a Python pickle that PyTorch did not write.",
    ),
    "newer pickle": (
        content(pickle.dumps({"a": 1}, protocol=5)),
        "is a Python pickle that PyTorch did not write.",
    ),
    "tensor": (saved(torch.zeros(3)), "holds one Tensor, not a dict of tensors."),
    "list": (saved([torch.zeros(3)]), "holds one list, not a dict of tensors."),
    "no entries": (
        saved({}),
        "is not the published file: it should hold tensors only, and has no entries.",
    ),
    "nested": (
        make_nested,
        "is not the published file: it should hold tensors only, and has 'epoch' (int), "
        "'state_dict' (OrderedDict). The weights may be under 'state_dict'.",
    ),
    "names that are no text": (
        saved({1: torch.zeros(1)}),
        "is not the published file: it should hold tensors only, and has 1 (Tensor).",
    ),
    "tensors without values": (
        saved({"a": torch.zeros(1, device="meta")}),
        "is not the published file: it should hold tensors only, and has 'a' (Tensor).",
    ),
    "whole network": (
        saved(tiny_network()),
        "was refused: it holds code, which was not run "
        "(it asks for torch.nn.modules.container.Sequential, ",
    ),
}


@pytest.mark.parametrize("extension", [".pth", ".safetensors"])
@pytest.mark.parametrize("case", WRONG_FILES)
def test_wrong_file(tmp_path, case, extension):
    make, wrong = WRONG_FILES[case]
    path = tmp_path / f"mine{extension}"
    make(path)
    message = refused(weights.load_state_dict, path, URL)
    assert message.startswith(f"{path} {wrong}")
    beside = path / "published.pth" if case == "folder" else tmp_path / "published.pth"
    assert message.endswith(
        f"\n  published at: {URL}\n  get it with:  curl -fL --create-dirs -o {beside} {URL}"
    )
    assert "weights_only" not in message  # no advice to switch the guard off


def test_without_an_address_the_message_names_only_the_problem(tmp_path):
    path = tmp_path / "mine.pth"
    assert refused(weights.load_state_dict, path) == f"{path} does not exist."


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "mine.pth"
    path.write_bytes(BODY)
    path.chmod(0)
    assert "cannot be read: Permission denied" in refused(weights.load_state_dict, path)


def test_a_missing_package_is_not_damage(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(2)}, path)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ModuleNotFoundError):
        weights.read(path)


@pytest.mark.parametrize("wrap", ["bare", "value", "beside tensors"])
@pytest.mark.parametrize("form", ["old", "new", 0, 1, 2, 3, 4, 5])
def test_pickle_that_wants_to_run_code(tmp_path, form, wrap):
    marker, path = tmp_path / "ran", tmp_path / "mine.pth"
    bomb = Bomb(marker)
    thing = {
        "bare": bomb,
        "value": {"a": bomb},
        "beside tensors": OrderedDict(tiny_network().state_dict(), z=bomb),
    }[wrap]
    if isinstance(form, str):
        torch.save(thing, path, _use_new_zipfile_serialization=form == "new")
    else:
        path.write_bytes(pickle.dumps(thing, protocol=form))
    message = refused(weights.load_state_dict, path, URL)
    assert message.startswith(f"{path} was refused: it holds code, which was not run (it asks for ")
    assert "mkdir" in message
    assert not marker.exists()

    with open(path, "rb") as file:  # the bomb is a real one
        if form != "new" and wrap != "beside tensors":
            for _ in range(4 if form == "old" else 1):
                pickle.load(file)
            assert marker.exists()


def bomb(path, form, operations):
    """Writes a file in one of PyTorch's formats that takes so many operations to unpickle."""
    lists = b"]0" * (operations // 2)  # an empty list is made and dropped
    torch.save({}, path, _use_new_zipfile_serialization=form != "old")
    if form == "old":
        whole = path.read_bytes()
        at = whole.index(b"\x80\x02}q", len(weights.OLD_MAGIC) + 10)  # of its fourth pickle
        path.write_bytes(whole[: at + 2] + lists + whole[at + 2 :])
        return
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    compression = zipfile.ZIP_DEFLATED if form == "compressed" else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            start = b"\x80\x02" + lists if name.endswith("data.pkl") else b""
            archive.writestr(name, start + content.removeprefix(start[:2]))


@pytest.mark.parametrize("form", ["old", "new", "compressed"])
def test_a_pickle_bomb_is_refused_in_seconds(tmp_path, form, monkeypatch):
    path = tmp_path / "mine.pth"
    bomb(path, form, 200_000)
    weights._globals(path, path.read_bytes()[:512])  # within the limit
    monkeypatch.setattr(weights, "MAX_OPERATIONS", 100_000)
    monkeypatch.setattr(torch, "load", None)
    assert refused(weights.load_state_dict, path, URL).startswith(
        f"{path} was refused: its pickle has more than 100,000 operations, too many for weights.\n"
    )


def test_a_real_pickle_bomb(tmp_path):
    path = tmp_path / "mine.pth"
    bomb(path, "compressed", 2 * weights.MAX_PICKLE_BYTES)
    assert path.stat().st_size < 1_000_000
    assert "was refused: its pickle has 200,000,0" in refused(weights.load_state_dict, path)


def test_a_training_checkpoint_of_ten_thousand_tensors_is_no_bomb(tmp_path):
    path = tmp_path / "mine.pth"
    state = {f"block.{n}.weight": torch.zeros(1) for n in range(10_000)}
    torch.save(state, path)
    assert weights.load_state_dict(path).keys() == state.keys()


def original(form):
    with tempfile.TemporaryDirectory() as folder:
        save(tiny_network().state_dict(), Path(folder, "file"), form)
        return Path(folder, "file").read_bytes()


ORIGINALS = {form: original(form) for form in FORMS}


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=100)
@given(data=st.data())
def test_cut_anywhere(tmp_path_factory, form, data):
    whole = ORIGINALS[form]
    path = tmp_path_factory.getbasetemp() / f"cut {form}"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    message = refused(weights.load_state_dict, path, URL)
    assert "holds code" not in message
    assert re.search(r"damaged|cut short|is empty|\(\d bytes, beginning", message)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=100)
@given(data=st.data())
def test_damaged_anywhere(tmp_path_factory, form, data):
    """Bytes overwritten: read as other values or refused, and nothing else."""
    damaged = bytearray(ORIGINALS[form])
    at = data.draw(st.integers(0, len(damaged) - 1))
    noise = data.draw(st.binary(min_size=1, max_size=8))
    damaged[at : at + len(noise)] = noise
    path = tmp_path_factory.getbasetemp() / f"damaged {form}"
    path.write_bytes(damaged)
    try:
        found = weights.load_state_dict(path, URL)
        weights.load_into(tiny_network(), found, path, URL)
    except UserError:
        pass


@settings(max_examples=100)
@given(start=st.sampled_from([b"", b"\x80\x02", b"PK\x03\x04", weights.OLD_MAGIC]), end=st.binary())
def test_any_bytes(tmp_path_factory, start, end):
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(start + end)
    refused(weights.load_state_dict, path, URL)


# --- into a network


def test_loads_into_a_network(tmp_path):
    source, target = tiny_network(), tiny_network()
    with torch.no_grad():
        source[0].weight += 1
        source[1].running_mean += 2
    weights.load_into(target, source.half().state_dict(), "any")
    assert target[0].weight.dtype == torch.float32
    assert torch.allclose(target[0].weight, source[0].weight.float())
    assert torch.equal(target[1].running_mean, torch.full([3], 2.0))


def changed(change):
    state_dict = dict(tiny_network().state_dict())
    change(state_dict)
    return state_dict


NAMES = list(tiny_network().state_dict())
MISFITS = {
    "missing": (
        changed(lambda d: d.pop("0.bias")),
        "it seems to be a variant of the network (6 names are the same).\n  1 missing: 0.bias",
    ),
    "a buffer that PyTorch would make up": (
        changed(lambda d: d.pop("1.num_batches_tracked")),
        "it seems to be a variant of the network (6 names are the same).\n"
        "  1 missing: 1.num_batches_tracked",
    ),
    "unknown": (
        changed(lambda d: d.update(extra=torch.zeros(1))),
        "it seems to be a variant of the network (7 names are the same).\n  1 unknown: extra",
    ),
    "shape": (
        changed(lambda d: d.update({"0.weight": torch.zeros(4, 2, 1)})),
        "it seems to be the same network in another size.\n"
        "  1 of another shape: 0.weight [4, 2, 1] instead of [3, 2, 1]",
    ),
    "prefix": (
        {f"module.{name}": value for name, value in tiny_network().state_dict().items()},
        "it is not the published file: all names begin with 'module.' here.\n"
        "  7 missing: 0.weight, 0.bias, 1.weight, …\n"
        "  7 unknown: module.0.weight, module.0.bias, module.1.weight, …",
    ),
    "another network": (
        torch.nn.ModuleDict({"visual": torch.nn.Linear(2, 2)}).state_dict(),
        "it seems to be another network, with names like visual.weight, visual.bias.\n"
        "  7 missing: 0.weight, 0.bias, 1.weight, …\n"
        "  2 unknown: visual.weight, visual.bias",
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_state_dict_that_does_not_fit(tmp_path, case):
    state_dict, wrong = MISFITS[case]
    network, path = tiny_network(), tmp_path / "mine.pth"
    before = {name: value.clone() for name, value in network.state_dict().items()}
    message = refused(weights.load_into, network, state_dict, path, URL)
    assert message == (
        f"{path} does not fit Sequential: {wrong}\n  published at: {URL}\n"
        f"  get it with:  curl -fL --create-dirs -o {tmp_path / 'published.pth'} {URL}"
    )
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_values_that_cannot_be_copied(tmp_path):
    state_dict = changed(lambda d: d.update({"0.bias": torch.zeros(3).to_sparse()}))
    message = refused(weights.load_into, tiny_network(), state_dict, "mine.pth", URL)
    assert message.startswith("mine.pth does not fit Sequential: a tensor is torch.sparse_coo")
    assert message.endswith(f"curl -fL --create-dirs -o published.pth {URL}")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinite_values(value):
    state_dict = changed(lambda d: d.update({"0.bias": torch.tensor([0, value, 0])}))
    network = tiny_network()
    message = refused(weights.load_into, network, state_dict, "mine.pth", URL)
    assert message == "mine.pth: 0.bias holds NaN or infinite values"
    assert network[0].bias.isfinite().all()


def test_a_network_on_the_meta_device_takes_the_tensors_themselves():
    state_dict = tiny_network().state_dict()
    with torch.device("meta"):
        network = tiny_network()
    weights.load_into(network, state_dict, "any")
    for name, value in network.state_dict().items():
        assert value.data_ptr() == state_dict[name].data_ptr()
    assert network(torch.zeros(1, 2, 5)).shape == (1, 3, 5)


def test_tensors_under_an_entry(tmp_path):
    inner = tiny_network().state_dict()
    torch.save({"model": inner, "epoch": 3}, tmp_path / "nested.pth")
    torch.save(inner, tmp_path / "flat.pth")
    for name in ("nested.pth", "flat.pth"):
        assert weights.load_state_dict(tmp_path / name, under="model").keys() == inner.keys()
    message = refused(weights.load_state_dict, tmp_path / "nested.pth")
    assert "The weights may be under 'model'" in message


def test_names_from_a_file_cannot_control_the_terminal(tmp_path):
    names = {"\x1b[31mred\nline": torch.zeros(1), "x" * 10_000: torch.zeros(1)}
    message = refused(weights.load_into, tiny_network(), names, "mine.pth")
    assert "\x1b" not in message
    assert len(message) < 700
    path = tmp_path / "mine.pth"
    torch.save(dict.fromkeys(names, 1), path)
    assert "\x1b" not in refused(weights.load_state_dict, path)


# --- the rest


def test_sha256(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(BODY)
    assert weights.sha256(path) == hashlib.sha256(BODY).hexdigest()
    assert "does not exist" in refused(weights.sha256, tmp_path / "none")


def test_import_is_light():
    code = (
        "import sys; from trajeval import weights; "
        "print([m for m in ('torch', 'numpy', 'safetensors', 'tqdm', 'http.client', 'ssl') "
        "if m in sys.modules])"
    )
    folder = Path(weights.__file__).parent.parent
    said = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert said.stdout == "[]\n"
