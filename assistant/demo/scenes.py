"""The outdoor scenes: mountains, sea, lake, city, night, woods, snow, flowers, balloons."""

from __future__ import annotations

from PIL import Image

from .brush import Color, Painting

LIGHT: dict[str, tuple[Color, ...]] = {
    "dawn": ((92, 110, 160), (214, 150, 150), (255, 206, 150)),
    "day": ((64, 134, 208), (142, 192, 232), (222, 236, 242)),
    "dusk": ((48, 40, 96), (186, 84, 110), (255, 168, 92)),
    "night": ((6, 10, 30), (16, 28, 62), (38, 58, 96)),
}


def _mix(a: Color, b: Color, share: float) -> Color:
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def mountains(p: Painting, light: str = "day") -> None:
    sky = LIGHT[light]
    p.sky(*sky, bottom=0.75)
    p.glow((0.7, 0.42), 0.3, (110, 80, 40), 0.9)
    p.disc((0.7, 0.4), 0.045, (255, 246, 214))
    for cloud in p.scatter(4, 0.08, 0.3):
        p.cloud(cloud, 0.07, (255, 250, 245, 70))
    near: Color = (24, 44, 50)
    for n in range(5):
        p.ridge(
            0.5 + 0.09 * n,
            0.075 - 0.008 * n,
            _mix(_mix(sky[1], sky[2], 0.4), near, (n + 1) / 5),
            fade=sky[2] if n < 3 else None,
        )
    for x, y in p.scatter(26, 0.9, 1.0):
        _fir(p, x, y + 0.05, 0.16, (14, 30, 32))


def _fir(p: Painting, x: float, y: float, size: float, color: Color) -> None:
    for n in range(4):
        top, wide = y - size * (1 - 0.2 * n), size * (0.1 + 0.07 * n) / p.aspect
        p.shape([(x, top), (x - wide, top + size * 0.36), (x + wide, top + size * 0.36)], color)


def sea(p: Painting, light: str = "dusk", boat: bool = True) -> None:
    sky = LIGHT[light]
    p.sky(*sky, bottom=0.58)
    p.glow((0.5, 0.5), 0.35, (120, 80, 30), 0.9)
    p.disc((0.5, 0.5), 0.075, (255, 238, 190))
    for cloud in p.scatter(5, 0.1, 0.4):
        p.cloud(cloud, 0.06, (*sky[2], 60))
    water = _mix(sky[0], (20, 50, 80), 0.5)
    p.box((0, 0.56), (1, 1), water)
    for n in range(46):
        y = 0.562 + 0.438 * (n / 46) ** 1.4
        p.box((0, y), (1, y + 0.003 + n * 0.0002), (*_mix(sky[2], water, n / 46), 90))
    for x, y in p.scatter(240, 0.565, 1):
        near = (y - 0.56) / 0.44
        wide = 0.012 + 0.05 * near
        share = max(0.0, 1 - abs(x - 0.5) / (0.05 + 0.22 * near))
        p.oval((x, y), wide, 0.0022 + 0.004 * near, (255, 226, 170, int(30 + 190 * share)))
    if boat:
        p.shape([(0.66, 0.6), (0.8, 0.6), (0.775, 0.635), (0.685, 0.635)], (60, 32, 40))
        p.shape([(0.735, 0.33), (0.735, 0.585), (0.665, 0.585)], (250, 240, 228))
        p.shape([(0.742, 0.38), (0.742, 0.585), (0.795, 0.585)], (226, 110, 80))


def lake(p: Painting, light: str = "day") -> None:
    sky = LIGHT[light]
    p.sky(*sky, bottom=0.55)
    p.cloud((0.25, 0.16), 0.1)
    p.cloud((0.72, 0.11), 0.07)
    p.ridge(0.42, 0.07, _mix(sky[1], (70, 90, 120), 0.6), fade=sky[2])
    p.ridge(0.5, 0.03, (46, 92, 70))
    for x, y in p.scatter(40, 0.53, 0.57):
        _fir(p, x, y, 0.1, (28, 70, 54))
    upper = p.image.crop((0, 0, p.image.width, round(p.image.height * 0.57)))
    mirror = upper.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    mirror = mirror.resize((p.image.width, round(p.image.height * 0.43)))
    p._redraw(lambda image: image.paste(mirror, (0, round(image.height * 0.57))))
    p.box((0, 0.57), (1, 1), (30, 84, 120, 90))
    for x, y in p.scatter(120, 0.6, 1.0):
        p.oval((x, y), 0.05 * (y - 0.4), 0.002, (225, 240, 250, 60))
    p.shape([(0.36, 1), (0.46, 0.68), (0.5, 0.68), (0.6, 1)], (124, 88, 60))
    for n in range(9):
        y = 0.7 + 0.3 * (n / 9) ** 1.3
        p.line([(0.48 - 0.13 * (y - 0.6) / 0.4, y), (0.48 + 0.13 * (y - 0.6) / 0.4, y)], 0.004, (84, 58, 40))


def city(p: Painting, light: str = "dusk", old: bool = False) -> None:
    p.sky(*LIGHT[light], bottom=0.9)
    p.glow((0.3, 0.7), 0.4, (90, 50, 30), 0.8)
    front = (236, 206, 172) if light == "day" else (22, 20, 40)
    for layer in range(3):
        x, shade = -0.02, _mix(LIGHT[light][1], front, 0.35 + 0.3 * layer)
        while x < 1:
            wide = float(p.random.uniform(0.05, 0.12))
            top = float(p.random.uniform(0.3, 0.62)) + 0.1 * layer
            p.box((x, top), (x + wide, 1), shade)
            if old:
                roof = (150, 74, 52) if layer == 2 else _mix(shade, (150, 74, 52), 0.5)
                p.shape([(x - 0.008, top), (x + wide / 2, top - 0.07), (x + wide + 0.008, top)], roof)
            _windows(p, (x, top), wide, light, layer)
            x += wide + float(p.random.uniform(0, 0.012))


def _windows(p: Painting, corner: tuple[float, float], wide: float, light: str, layer: int) -> None:
    columns = max(2, int(wide / 0.018))
    for column in range(columns):
        for row in range(14):
            if p.random.random() < (0.55 if light in ("dusk", "night") else 0.9):
                x = corner[0] + wide * (column + 0.3) / columns
                y = corner[1] + 0.03 + 0.045 * row
                lit = p.random.random() < 0.6 and light != "day"
                color = (255, 214, 130, 90 + 55 * layer) if lit else (30, 40, 66, 110)
                p.box((x, y), (x + wide * 0.4 / columns, y + 0.02), color)


def night(p: Painting, aurora: bool = False) -> None:
    p.sky(*LIGHT["night"])
    for x, y in p.scatter(520, 0, 0.85):
        size = float(p.random.exponential(0.0011)) + 0.0005
        p.disc((x, y), min(size, 0.004), (255, 250, 235, int(p.random.uniform(110, 255))))
    if aurora:
        for n in range(26):
            x = n / 25
            height = 0.32 + 0.12 * float(p.random.random())
            p.glow(
                (x, 0.32 + 0.1 * ((n % 7) / 7)), height * 0.35, (10, 62, 36) if n % 3 else (34, 22, 56), 0.55 * p.aspect
            )
    else:
        p.glow((0.76, 0.22), 0.22, (70, 70, 60), 0.8)
        p.disc((0.76, 0.22), 0.07, (246, 240, 220))
        for dx, dy, r in ((-0.02, -0.02, 0.014), (0.018, 0.01, 0.02), (-0.006, 0.035, 0.01)):
            p.disc((0.76 + dx / p.aspect, 0.22 + dy), r, (226, 220, 200))
    p.ridge(0.82, 0.035, (10, 16, 28))
    for x, y in p.scatter(16, 0.9, 1.02):
        _fir(p, x, y, 0.2, (5, 9, 16))
    p.shape([(0.3, 0.93), (0.36, 0.8), (0.42, 0.93)], (226, 120, 52))
    p.glow((0.36, 0.9), 0.07, (120, 70, 20), 0.9)


def woods(p: Painting, autumn: bool = True) -> None:
    p.sky((255, 236, 200), (240, 214, 160), (180, 150, 90)) if autumn else p.sky(
        (214, 236, 214), (150, 200, 140), (70, 120, 70)
    )
    leaves = (
        [(206, 92, 34), (226, 146, 40), (178, 56, 36), (234, 184, 66)]
        if autumn
        else [(52, 118, 52), (84, 150, 66), (120, 176, 80)]
    )
    for depth in range(4):
        haze = 1 - depth / 4
        for x, _ in p.scatter(7, 0, 1):
            wide = 0.012 + 0.014 * depth
            p.box((x, 0), (x + wide / p.aspect, 0.78 + 0.06 * depth), _mix((58, 40, 32), (236, 210, 160), haze * 0.75))
        for x, y in p.scatter(150, -0.05, 0.42):
            color = leaves[int(p.random.integers(len(leaves)))]
            p.oval((x, y), 0.035, 0.024, (*_mix(color, (250, 226, 170), haze * 0.6), 150))
        p.box(
            (0, 0.76 + 0.06 * depth),
            (1, 1),
            _mix((120, 84, 44) if autumn else (60, 96, 48), (230, 204, 150), haze * 0.5),
        )
    p.shape([(0.42, 1), (0.5, 0.74), (0.53, 0.74), (0.72, 1)], (214, 184, 138))
    for x, y in p.scatter(420, 0.8, 1):
        color = leaves[int(p.random.integers(len(leaves)))]
        p.oval((x, y), 0.008, 0.004, (*color, 210))


def snow(p: Painting) -> None:
    p.sky((120, 160, 206), (196, 214, 232), (240, 240, 244))
    p.ridge(0.6, 0.05, (176, 196, 220))
    for x, y in p.scatter(22, 0.62, 0.74):
        _fir(p, x, y, 0.2, (58, 92, 92))
        _fir(p, x, y - 0.03, 0.14, (226, 236, 244))
    p.ridge(0.76, 0.02, (246, 249, 252))
    x = 0.38
    for y, r in ((0.84, 0.12), (0.68, 0.085), (0.56, 0.06)):
        p.disc((x + 0.012, y + 0.01), r, (196, 208, 224))
        p.disc((x, y), r, (252, 253, 255))
    for dx in (-0.016, 0.016):
        p.disc((x + dx, 0.548), 0.009, (30, 30, 36))
    p.shape([(x, 0.56), (x, 0.575), (x + 0.06, 0.572)], (240, 130, 40))
    p.box((x - 0.052, 0.495), (x + 0.052, 0.512), (40, 40, 50))
    p.box((x - 0.033, 0.41), (x + 0.033, 0.5), (40, 40, 50))
    p.line([(x - 0.05, 0.615), (x + 0.05, 0.615), (x + 0.06, 0.72)], 0.026, (204, 56, 60))
    p.line([(x - 0.08, 0.68), (x - 0.17, 0.58)], 0.009, (92, 66, 48))
    p.line([(x + 0.08, 0.68), (x + 0.17, 0.6)], 0.009, (92, 66, 48))
    for x, y in p.scatter(240, 0, 1):
        p.disc((x, y), float(p.random.uniform(0.0015, 0.006)), (255, 255, 255, 200))


def flowers(p: Painting) -> None:
    p.sky((150, 204, 240), (214, 234, 226), (96, 150, 80))
    p.box((0, 0.5), (1, 1), (92, 150, 70))
    petals = [(232, 66, 86), (250, 190, 60), (214, 100, 190), (250, 130, 70), (240, 236, 240)]
    for x, y in p.scatter(90, 0.5, 1.12):
        size = 0.016 + 0.085 * (y - 0.45)
        color = petals[int(p.random.integers(len(petals)))]
        p.line([(x, y), (x + 0.004, y + size * 3)], size * 0.14, (54, 112, 50))
        for angle in range(6):
            a = angle * 3.14159 / 3
            dx, dy = size * 0.62 * _cos(a) / p.aspect, size * 0.62 * _cos(a - 1.5708)
            p.disc((x + dx, y + dy), size * 0.46, _mix(color, (255, 255, 255), 0.12 * (angle % 2)))
        p.disc((x, y), size * 0.36, (250, 214, 90) if color != (250, 190, 60) else (140, 80, 40))


def _cos(angle: float) -> float:
    import math

    return math.cos(angle)


def balloons(p: Painting) -> None:
    p.sky((96, 150, 220), (170, 206, 238), (252, 226, 190))
    p.ridge(0.86, 0.03, (120, 136, 150), fade=(252, 226, 190))
    p.ridge(0.93, 0.02, (74, 96, 84))
    palettes = [
        ((220, 60, 60), (250, 220, 120)),
        ((60, 110, 190), (240, 240, 250)),
        ((240, 150, 50), (120, 60, 130)),
        ((70, 150, 110), (250, 210, 90)),
    ]
    for n, (x, y, size) in enumerate(
        ((0.3, 0.34, 0.2), (0.66, 0.24, 0.13), (0.82, 0.55, 0.09), (0.13, 0.62, 0.07), (0.52, 0.62, 0.06))
    ):
        one, two = palettes[n % 4]
        p.oval((x, y), size, size * 1.08, one)
        for share, color in ((0.78, two), (0.5, one), (0.2, two)):
            p.oval((x, y), size * share, size * 1.08, color)
        p.shape(
            [
                (x - size * 0.6 / p.aspect, y + size * 0.86),
                (x + size * 0.6 / p.aspect, y + size * 0.86),
                (x, y + size * 1.5),
            ],
            one,
        )
        p.box(
            (x - size * 0.14 / p.aspect, y + size * 1.36), (x + size * 0.14 / p.aspect, y + size * 1.6), (110, 74, 44)
        )


def beach(p: Painting) -> None:
    p.sky(*LIGHT["day"], bottom=0.42)
    p.cloud((0.2, 0.14), 0.09)
    p.cloud((0.8, 0.2), 0.06)
    p.box((0, 0.4), (1, 0.66), (40, 150, 178))
    for n in range(16):
        y = 0.41 + 0.016 * n
        p.line([(0, y), (0.3, y + 0.004), (0.6, y - 0.003), (1, y + 0.003)], 0.003 + n * 0.0003, (190, 232, 236, 80))
    p.shape([(0, 0.66), (0.35, 0.63), (0.7, 0.66), (1, 0.62), (1, 1), (0, 1)], (236, 212, 164))
    p.line([(0, 0.66), (0.35, 0.63), (0.7, 0.66), (1, 0.62)], 0.014, (250, 250, 246, 200))
    for x, y in p.scatter(500, 0.68, 1):
        p.disc((x, y), 0.002, (206, 178, 128, 160))
    p.line([(0.62, 0.9), (0.7, 0.44)], 0.011, (240, 240, 236))
    for n in range(8):
        p.pen.pieslice(
            _around(p, (0.7, 0.5), 0.23), 190 + 20 * n, 210 + 20 * n, fill=(224, 70, 70) if n % 2 else (250, 244, 232)
        )
    p.shape([(0.4, 0.9), (0.56, 0.86), (0.63, 0.93), (0.46, 0.98)], (70, 130, 200))
    p.disc((0.3, 0.88), 0.035, (240, 190, 60))


def _around(p: Painting, center: tuple[float, float], radius: float) -> tuple[float, float, float, float]:
    (x, y), r = p.xy(center), p.length(radius)
    return x - r, y - r, x + r, y + r


def fireworks(p: Painting) -> None:
    import math

    p.sky((8, 8, 30), (20, 18, 52), (52, 30, 70))
    colors: list[Color] = [(255, 120, 90), (120, 210, 255), (255, 220, 110), (190, 130, 255), (130, 255, 170)]
    for n, (x, y, size) in enumerate(
        ((0.3, 0.3, 0.24), (0.68, 0.24, 0.2), (0.5, 0.52, 0.15), (0.84, 0.5, 0.13), (0.13, 0.52, 0.12))
    ):
        color = colors[n]
        p.glow((x, y), size * 0.8, _mix((0, 0, 0), color, 0.3), 0.9)
        for ray in range(40):
            a = ray * math.tau / 40 + float(p.random.normal(0, 0.03))
            far = size * float(p.random.uniform(0.75, 1.05))
            for step in range(7):
                r = far * (0.3 + 0.1 * step)
                p.disc(
                    (x + r * math.cos(a) / p.aspect, y + r * math.sin(a) + 0.04 * (r / size) ** 2),
                    0.0016 + 0.0007 * step,
                    (*color, 90 + 23 * step),
                )
    x = -0.01
    while x < 1:
        wide, top = float(p.random.uniform(0.04, 0.1)), float(p.random.uniform(0.76, 0.88))
        p.box((x, top), (x + wide, 1), (10, 10, 22))
        x += wide
