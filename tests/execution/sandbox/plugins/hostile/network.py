"""Attacks that reach the network or a local service."""

import socket

from .common import attack, call


@attack
def connect_tcp(w):
    socket.create_connection(("127.0.0.1", w.tcp), timeout=5)


@attack
def send_udp(w):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", w.tcp))


@attack
def connect_unix(w):
    socket.socket(socket.AF_UNIX).connect(w.unix)


@attack
def connect_abstract(w):
    socket.socket(socket.AF_UNIX).connect("\0" + w.abstract)


@attack
def send_from_a_datagram_pair(w):
    a, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    a.sendto(b"x", w.unix + ".dgram")


@attack
def listen(w):
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen()


@attack
def open_netlink(w):
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)


@attack
def open_raw_socket(w):
    socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)


@attack
def socket_by_number(w):
    call("socket", 2, 1, 0)
