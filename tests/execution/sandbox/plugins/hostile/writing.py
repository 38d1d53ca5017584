"""Attacks that change what was not granted."""

# ruff: noqa: PTH101, PTH104, PTH123, PTH211

import os
from pathlib import Path

from .common import attack


@attack
def write_outside(w):
    (w.outside / "new").write_text("x")


@attack
def overwrite_outside(w):
    (w.outside / "mine").write_text("x")


@attack
def append_to_what_is_readable(w):
    with open(w.granted / "photo", "a") as f:
        f.write("x")


@attack
def truncate_what_is_readable(w):
    os.truncate(w.granted / "photo", 0)


@attack
def truncate_what_is_readable_by_open(w):
    os.open(w.granted / "photo", os.O_RDONLY | os.O_TRUNC)
    if (w.granted / "photo").stat().st_size:
        raise PermissionError("nothing happened")


@attack
def create_in_readable_folder(w):
    (w.granted / "new").touch()


@attack
def chmod_outside(w):
    os.chmod(w.outside / "mine", 0o666)


@attack
def chmod_readable(w):
    os.fchmod(os.open(w.granted / "mine", os.O_RDONLY), 0o666)


@attack
def chown_outside(w):
    os.chown(w.outside / "mine", os.getuid(), os.getgid())


@attack
def utime_outside(w):
    os.utime(w.outside / "mine", (0, 0))


@attack
def set_attribute_outside(w):
    os.setxattr(w.outside / "mine", "user.x", b"1")


@attack
def remove_outside(w):
    (w.outside / "mine").unlink()


@attack
def move_out(w):
    Path("x").write_text("x")
    os.rename("x", w.outside / "moved")


@attack
def move_in(w):
    os.rename(w.outside / "mine", "taken")


@attack
def make_folder_outside(w):
    (w.outside / "folder").mkdir()


@attack
def make_fifo(w):
    os.mkfifo("fifo")


@attack
def make_symlink(w):
    os.symlink("/etc/shadow", "link")


@attack
def make_device(w):
    os.mknod("null", 0o600 | 0o020000, os.makedev(1, 3))


@attack
def use_shared_memory_folder(w):
    path = Path(f"/dev/shm/hostile-{os.getpid()}")
    path.write_text("x")
    path.unlink()
