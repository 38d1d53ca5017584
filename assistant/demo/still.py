"""The near scenes: a cat, a dog, people, things to eat; and the two screens."""

from __future__ import annotations

import math

from PIL import ImageFont

from .brush import Color, Painting


def cat(p: Painting, fur: Color = (232, 150, 70), wall: Color = (120, 160, 170), sleepy: bool = False) -> None:
    _room(p, wall)
    dark, x = tuple(max(0, c - 50) for c in fur), 0.5
    p.oval((x, 0.98), 0.34, 0.36, fur)
    p.line([(x + 0.2, 0.95), (x + 0.3, 0.8), (x + 0.27, 0.62)], 0.05, dark)
    for side in (-1, 1):
        p.shape([(x + side * 0.2, 0.2), (x + side * 0.06, 0.34), (x + side * 0.21, 0.45)], fur)
        p.shape([(x + side * 0.18, 0.25), (x + side * 0.09, 0.35), (x + side * 0.19, 0.42)], (244, 178, 168))
    p.oval((x, 0.48), 0.27, 0.23, fur)
    for n in (-1, 0, 1):
        p.line([(x + n * 0.045, 0.26), (x + n * 0.035, 0.35)], 0.018, dark)
    for side in (-1, 1):
        eye = (x + side * 0.09, 0.46)
        if sleepy:
            p.pen.arc(
                (*p.xy((eye[0] - 0.04, eye[1] - 0.02)), *p.xy((eye[0] + 0.04, eye[1] + 0.04))),
                20,
                160,
                fill=dark,
                width=10,
            )
        else:
            p.oval(eye, 0.055, 0.06, (250, 250, 240))
            p.oval(eye, 0.044, 0.055, (110, 170, 80))
            p.oval(eye, 0.016, 0.05, (16, 18, 20))
            p.disc((eye[0] + 0.012, eye[1] - 0.02), 0.012, (255, 255, 255))
        for n in range(3):
            p.line([(x + side * 0.07, 0.565 + n * 0.014), (x + side * 0.25, 0.53 + n * 0.045)], 0.003, (250, 246, 240))
    p.oval((x - 0.03, 0.585), 0.055, 0.042, (252, 236, 220))
    p.oval((x + 0.03, 0.585), 0.055, 0.042, (252, 236, 220))
    p.shape([(x - 0.022, 0.545), (x + 0.022, 0.545), (x, 0.575)], (226, 110, 120))
    p.oval((x, 0.86), 0.15, 0.17, (252, 226, 196))


def _room(p: Painting, wall: Color) -> None:
    p.sky(tuple(min(255, c + 40) for c in wall), wall, bottom=0.8)  # type: ignore[arg-type]
    p.box((0, 0.8), (1, 1), (168, 122, 84))
    for n in range(7):
        p.line([(n / 6 - 0.1, 1), (n / 6 + 0.02, 0.8)], 0.004, (140, 98, 66))
    p.box((0.06, 0.08), (0.26, 0.42), (250, 246, 236), 0.01)
    p.box((0.075, 0.1), (0.245, 0.4), (158, 204, 228))
    p.disc((0.19, 0.19), 0.03, (255, 240, 190))
    p.shape([(0.075, 0.4), (0.13, 0.27), (0.18, 0.34), (0.21, 0.29), (0.245, 0.4)], (104, 150, 104))
    p.glow((0.16, 0.25), 0.3, (46, 42, 32), 0.9)


def dog(p: Painting, fur: Color = (150, 98, 58), jump: float = 0.0) -> None:
    p.sky((112, 176, 230), (206, 230, 242), bottom=0.6)
    p.cloud((0.2, 0.15), 0.08)
    p.cloud((0.78, 0.22), 0.06)
    p.box((0, 0.56), (1, 1), (104, 164, 78))
    for x, y in p.scatter(420, 0.57, 1):
        p.line([(x, y), (x + 0.003, y - 0.02 - 0.02 * (y - 0.5))], 0.003, (70, 130, 56, 170))
    y, dark = -jump, tuple(max(0, c - 45) for c in fur)
    p.oval((0.5, 0.93), 0.3 - jump * 0.6, 0.03, (50, 90, 40, 130))
    for x in (0.36, 0.41, 0.57, 0.62):
        p.line(
            [(x, 0.74 + y), (x + (0.03 if x < 0.5 else 0.05) * jump * 6, 0.93 + y)],
            0.055,
            dark if x in (0.41, 0.62) else fur,
        )
    p.line([(0.32, 0.66 + y), (0.25, 0.54 + y), (0.24, 0.47 + y)], 0.035, fur)
    p.oval((0.48, 0.69 + y), 0.25, 0.12, fur)
    p.oval((0.66, 0.53 + y), 0.13, 0.13, fur)
    p.oval((0.74, 0.57 + y), 0.085, 0.06, tuple(min(255, c + 60) for c in fur))
    p.disc((0.795, 0.545 + y), 0.024, (30, 24, 24))
    p.oval((0.6, 0.53 + y), 0.045, 0.11, dark)
    p.disc((0.685, 0.495 + y), 0.019, (26, 20, 20))
    p.disc((0.689, 0.49 + y), 0.006, (255, 255, 255))
    p.oval((0.755, 0.635 + y), 0.022, 0.04, (236, 110, 120))
    p.line([(0.595, 0.625 + y), (0.675, 0.66 + y)], 0.026, (210, 50, 56))
    p.disc((0.635, 0.665 + y), 0.016, (250, 210, 80))
    if jump:
        p.disc((0.87, 0.42), 0.035, (214, 232, 70))


def people(p: Painting, faces: int = 2, place: str = "garden") -> None:
    if place == "party":
        p.sky((255, 214, 190), (250, 180, 170), (226, 130, 140))
        for n, (x, y) in enumerate(p.scatter(9, 0.06, 0.3)):
            color = [(230, 70, 90), (80, 150, 220), (250, 190, 70), (120, 190, 120)][n % 4]
            p.line([(x, y), (x + 0.01, y + 0.3)], 0.002, (120, 90, 90))
            p.oval((x, y), 0.05, 0.062, color)
    else:
        p.sky((130, 190, 236), (222, 238, 236), (150, 190, 110))
        p.box((0, 0.62), (1, 1), (110, 168, 84))
        for x, y in p.scatter(60, 0.4, 0.62):
            p.disc((x, y), 0.07, (66, 128, 66, 180))
    looks = [
        ((240, 196, 160), (40, 30, 30)),
        ((122, 80, 54), (24, 20, 20)),
        ((198, 140, 100), (60, 34, 24)),
        ((250, 214, 186), (196, 140, 70)),
    ]
    for n in range(faces):
        x = (n + 0.5) / faces * 0.72 + 0.14
        skin, hair = looks[(n + faces) % 4]
        shirt = [(70, 120, 190), (226, 96, 84), (250, 196, 80), (96, 160, 120)][(n + faces) % 4]
        p.box((x - 0.16 / p.aspect, 0.66), (x + 0.16 / p.aspect, 1.2), shirt, 0.1)
        p.box((x - 0.035, 0.58), (x + 0.035, 0.7), tuple(c - 16 for c in skin))
        p.oval((x, 0.45), 0.13, 0.15, hair)
        if n % 2 == 0:
            p.box((x - 0.125 / p.aspect, 0.45), (x + 0.125 / p.aspect, 0.68), hair, 0.05)
        p.oval((x, 0.48), 0.108, 0.13, skin)
        p.pen.pieslice((*p.xy((x - 0.115 / p.aspect, 0.32)), *p.xy((x + 0.115 / p.aspect, 0.56))), 180, 360, fill=hair)
        for side in (-1, 1):
            p.disc((x + side * 0.042 / p.aspect, 0.475), 0.011, (36, 28, 28))
            p.oval((x + side * 0.065 / p.aspect, 0.525), 0.02, 0.013, (236, 130, 120, 110))
        p.pen.chord(
            (*p.xy((x - 0.045 / p.aspect, 0.5)), *p.xy((x + 0.045 / p.aspect, 0.572))), 10, 170, fill=(250, 250, 250)
        )
        if place == "party":
            p.shape([(x - 0.06 / p.aspect, 0.35), (x + 0.06 / p.aspect, 0.35), (x, 0.18)], shirt)
            p.disc((x, 0.18), 0.018, (255, 236, 150))


def cake(p: Painting) -> None:
    p.sky((88, 60, 84), (140, 92, 104), (92, 60, 58))
    p.box((0, 0.78), (1, 1), (236, 226, 214))
    p.oval((0.5, 0.84), 0.42, 0.06, (250, 250, 250))
    for top, half, color, icing in (
        (0.6, 0.3, (246, 206, 170), (250, 130, 150)),
        (0.44, 0.2, (250, 220, 186), (255, 240, 240)),
    ):
        p.box((0.5 - half / p.aspect, top), (0.5 + half / p.aspect, top + 0.22), color, 0.02)
        p.box((0.5 - half / p.aspect, top), (0.5 + half / p.aspect, top + 0.05), icing, 0.02)
        for n in range(9):
            x = 0.5 + (n - 4) / 4.4 * half / p.aspect
            p.oval((x, top + 0.05), half / 10, 0.03 + 0.02 * (n % 3), icing)
    for n in range(5):
        x = 0.5 + (n - 2) * 0.055
        p.box((x - 0.006, 0.33), (x + 0.006, 0.45), (120, 170, 230) if n % 2 else (250, 200, 90))
        p.glow((x, 0.3), 0.07, (130, 90, 30), 0.8)
        p.oval((x, 0.3), 0.011, 0.026, (255, 226, 130))


def pizza(p: Painting) -> None:
    p.sky((124, 84, 56), (150, 106, 72))
    for n in range(9):
        p.line([(0, n / 8), (1, n / 8 + 0.02)], 0.004, (104, 68, 44))
    p.disc((0.5, 0.52), 0.43, (240, 240, 236))
    p.disc((0.5, 0.5), 0.385, (206, 142, 74))
    p.disc((0.5, 0.5), 0.345, (214, 78, 42))
    p.disc((0.5, 0.5), 0.335, (248, 206, 110))
    for x, y in p.scatter(60, 0.2, 0.8):
        if math.hypot((x - 0.5) * p.aspect, y - 0.5) < 0.31:
            p.oval((x, y), 0.03, 0.022, (255, 236, 180, 190))
    for n in range(11):
        a, r = n * 2.4, 0.09 + 0.021 * n
        spot = 0.5 + r * math.cos(a) / p.aspect, 0.5 + r * math.sin(a)
        p.disc(spot, 0.045, (178, 44, 38))
        p.disc(spot, 0.036, (206, 66, 52))
    for n in range(8):
        a, r = n * 2.1 + 1, 0.07 + 0.027 * n
        x, y = 0.5 + r * math.cos(a) / p.aspect, 0.5 + r * math.sin(a)
        p.oval((x, y), 0.04, 0.02, (62, 120, 50))


def coffee(p: Painting) -> None:
    p.sky((232, 224, 212), (206, 192, 174))
    p.oval((0.53, 0.57), 0.4, 0.38, (150, 134, 116, 120))
    p.disc((0.5, 0.52), 0.38, (250, 250, 250))
    p.disc((0.5, 0.52), 0.36, (238, 238, 240))
    p.line([(0.7, 0.44), (0.82, 0.38)], 0.06, (226, 92, 76))
    p.disc((0.5, 0.5), 0.26, (226, 92, 76))
    p.disc((0.5, 0.5), 0.235, (96, 58, 38))
    p.disc((0.5, 0.5), 0.22, (160, 104, 66))
    for n in range(5):
        size, y = 0.11 - 0.02 * n, 0.4 + 0.055 * n
        for side in (-1, 1):
            p.oval(
                (0.5 + side * size * 0.4 / p.aspect, y),
                size * 0.75,
                size * 0.42,
                (250, 230, 206) if n % 2 == 0 else (160, 104, 66),
            )
    p.oval((0.82, 0.78), 0.09, 0.075, (196, 140, 80))
    for dx, dy in ((-0.02, -0.02), (0.03, 0.01), (0, 0.03), (-0.035, 0.025)):
        p.disc((0.82 + dx, 0.78 + dy), 0.013, (84, 50, 34))


def ramen(p: Painting) -> None:
    p.sky((54, 58, 66), (78, 80, 86))
    p.disc((0.5, 0.53), 0.43, (26, 26, 30))
    p.disc((0.5, 0.5), 0.42, (44, 60, 92))
    p.disc((0.5, 0.5), 0.37, (206, 140, 70))
    for n in range(26):
        y = 0.3 + 0.016 * n
        points = [(0.36 + 0.28 * t / 12, y + 0.012 * math.sin(t * 1.1 + n)) for t in range(13)]
        p.line(points, 0.008, (250, 222, 150))
    for x, y in ((0.38, 0.36), (0.61, 0.34)):
        p.oval((x, y), 0.1, 0.085, (252, 250, 244))
        p.disc((x, y), 0.05, (246, 170, 50))
    p.box((0.6, 0.5), (0.72, 0.74), (30, 56, 44))
    for n in range(3):
        p.oval((0.4 + 0.05 * n, 0.68 - 0.02 * n), 0.085, 0.06, (214, 150, 120))
        p.oval((0.4 + 0.05 * n, 0.68 - 0.02 * n), 0.05, 0.035, (236, 190, 160))
    for x, y in p.scatter(40, 0.3, 0.75):
        p.disc((0.3 + x * 0.4, y), 0.009, (90, 160, 70))
    p.line([(0.74, 0.06), (0.98, 0.62)], 0.016, (150, 60, 46))
    p.line([(0.79, 0.04), (1.0, 0.52)], 0.016, (150, 60, 46))


def chat_screen(p: Painting) -> None:
    _screen(p, "Saturday plans", (244, 246, 250))
    lines = [("Are we still on for the lake?", 0), ("Yes! Train at 9:40", 1), ("Bring the blue picnic blanket", 0),
             ("and Luna :)", 0), ("Deal. I bake the lemon cake", 1), ("Best day ever", 0)]  # fmt: skip
    font = ImageFont.load_default(p.length(0.021))
    for n, (text, mine) in enumerate(lines):
        wide, y = 0.12 + 0.021 * len(text), 0.13 + 0.105 * n
        start = 0.94 - wide if mine else 0.06
        p.box((start, y), (start + wide, y + 0.07), (66, 128, 246) if mine else (226, 230, 238), 0.03)
        p.pen.text(p.xy((start + 0.04, y + 0.022)), text, font=font, fill=(255, 255, 255) if mine else (30, 34, 42))
    p.box((0.06, 0.91), (0.94, 0.965), (255, 255, 255), 0.027)


def ticket_screen(p: Painting) -> None:
    _screen(p, "Boarding pass", (30, 42, 74))
    p.box((0.08, 0.14), (0.92, 0.86), (252, 252, 252), 0.03)
    big, small = ImageFont.load_default(p.length(0.05)), ImageFont.load_default(p.length(0.02))
    p.pen.text(p.xy((0.14, 0.18)), "BER", font=big, fill=(30, 42, 74))
    p.pen.text(p.xy((0.62, 0.18)), "LIS", font=big, fill=(30, 42, 74))
    p.line([(0.38, 0.21), (0.57, 0.21)], 0.004, (226, 110, 80))
    p.shape([(0.57, 0.2), (0.6, 0.21), (0.57, 0.22)], (226, 110, 80))
    for n, text in enumerate(("Gate B14   Seat 12A", "Boarding 06:55", "Passenger 1 of 1")):
        p.pen.text(p.xy((0.14, 0.29 + 0.045 * n)), text, font=small, fill=(80, 90, 110))
    for row in range(21):
        for column in range(21):
            if p.random.random() < 0.5 or (row in (0, 20) or column in (0, 20)):
                x, y = 0.26 + column * 0.0229, 0.48 + row * 0.0158
                p.box((x, y), (x + 0.0229, y + 0.0158), (20, 24, 34))


def _screen(p: Painting, title: str, color: Color) -> None:
    p.box((0, 0), (1, 1), color)
    ink = (30, 34, 42) if sum(color) > 380 else (250, 250, 250)
    p.pen.text(p.xy((0.08, 0.015)), "9:41", font=ImageFont.load_default(p.length(0.02)), fill=ink)
    p.pen.text(p.xy((0.08, 0.06)), title, font=ImageFont.load_default(p.length(0.033)), fill=ink)
    p.box((0.84, 0.018), (0.92, 0.034), ink, 0.004)
