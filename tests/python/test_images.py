"""Holds the decoders to Pillow's (libjpeg-turbo, libpng, libwebp, libtiff): every file is decoded to the same colours or
refused by name, never to others.

    python3 tests/python/test_images.py --decode target/debug/examples/decode

It makes some hundreds of files: by Pillow, by rewriting their markers, and by an encoder of its own where Pillow's
writes less than the standard allows (factors of sampling, names of components).
"""

import argparse
import io
import itertools
import random
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy
from PIL import Image, ImageOps

# Sides from which the mean difference counts; on smaller images the chroma of a pixel or two decides.
SMALL = 8
# Of 255: the decoders round in other places, and PIL's default decoder is libjpeg's accurate one.
MEAN = 2.0
SMALL_MEAN = 16.0
SIDES = [(1, 1), (1, 17), (17, 1), (3, 5), (8, 8), (15, 9), (16, 16), (37, 23), (64, 48), (97, 131)]


def picture(width, height, seed=0):
    """Smooth colours with an edge: what photographs have, and what tells red from blue."""
    y, x = numpy.mgrid[0:height, 0:width].astype(float)
    red = 230 * x / max(width - 1, 1)
    green = 200 * y / max(height - 1, 1)
    blue = 120 + 100 * numpy.sin((x + 2 * y + seed) / 9)
    image = numpy.stack([red, green, blue], axis=-1)
    image[height // 3 : height // 2, width // 4 : width // 2] = (200, 30, 60)
    return Image.fromarray(image.clip(0, 255).astype(numpy.uint8))


def saved(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def segment(marker, payload):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(payload) + 2) + payload


JFIF = segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")


def adobe(transform, short=False):
    payload = b"Adobe\0\x64\0\0\0\0" + bytes([transform])
    return segment(0xEE, payload[:9] if short else payload)


def segments(file):
    """The segments of a JPEG before its first scan, and the rest."""
    at, found = 2, []
    while file[at + 1] != 0xDA:
        length = 2 + struct.unpack(">H", file[at + 2 : at + 4])[0]
        found.append((file[at + 1], file[at + 4 : at + length]))
        at += length
    return found, file[at:]


def remarked(file, jfif, adobe_segment, names):
    """The same picture with other claims about its colours."""
    found, rest = segments(file)
    out = b"\xff\xd8" + (JFIF if jfif else b"") + (adobe_segment or b"")
    before = None
    for marker, payload in found:
        if marker in (0xE0, 0xEE):
            continue
        if names and 0xC0 <= marker <= 0xC2:
            payload, count = bytearray(payload), payload[5]
            before = [payload[6 + 3 * it] for it in range(count)]
            for it in range(count):
                payload[6 + 3 * it] = names[it]
        out += segment(marker, bytes(payload))
    if not names:
        return out + rest
    rest, at = bytearray(rest), 0
    while (at := rest.find(b"\xff\xda", at)) >= 0:
        for it in range(rest[at + 4]):
            rest[at + 5 + 2 * it] = names[before.index(rest[at + 5 + 2 * it])]
        at += 2
    return out + bytes(rest)


class Encoder:
    """Baseline JPEG of any factors of sampling: a mean and a slope for each block."""

    SIZES = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]  # of the codes of T.81, table K.3

    def __init__(self, factors, names=(1, 2, 3, 4), restart=0):
        self.factors, self.names, self.restart = factors, names, restart
        codes, code = {}, 0
        values = iter(range(12))
        for length, count in enumerate(self.SIZES, 1):
            for _ in range(count):
                codes[next(values)] = (code, length)
                code += 1
            code <<= 1
        self.codes = codes

    def magnitude(self, value):
        size = abs(value).bit_length()
        return size, (value if value >= 0 else value + (1 << size) - 1)

    def encode(self, width, height, seed):
        tall = max(v for _, v in self.factors)
        wide = max(h for h, _ in self.factors)
        columns, rows = -(-width // (8 * wide)), -(-height // (8 * tall))
        bits, text, last = [], b"", [0] * len(self.factors)
        means = [120, 30, -40, 20]
        for mcu in range(columns * rows):
            if self.restart and mcu and mcu % self.restart == 0:
                text += self.packed(bits) + bytes([0xFF, 0xD0 + (mcu // self.restart - 1) % 8])
                bits, last = [], [0] * len(self.factors)
            row, column = divmod(mcu, columns)
            for it, (h, v) in enumerate(self.factors):
                for block in range(h * v):
                    y, x = row * v + block // h, column * h + block % h
                    place = (x / (columns * h), y / (rows * v))
                    value = int(means[it] * ((place[0] if it % 2 else place[1]) - 0.3) + seed % 7)
                    size, extra = self.magnitude(value - last[it])
                    last[it] = value
                    bits.append(self.codes[size])
                    if size:
                        bits.append((extra, size))
                    # One coefficient of the first row, and the end of the block: codes of the table below.
                    bits += [(0, 1), (seed >> it & 1, 1), (2, 2)]
        text += self.packed(bits)
        frame = struct.pack(">BHHB", 8, height, width, len(self.factors))
        scan = bytes([len(self.factors)])
        for name, (h, v) in zip(self.names, self.factors):
            frame += bytes([name, h << 4 | v, 0])
            scan += bytes([name, 0])
        # AC codes: 0 for a coefficient of one bit, 10 for the end of a block.
        tables = b"\x00" + bytes(self.SIZES) + bytes(range(12)) + b"\x10" + bytes([1, 1] + [0] * 14) + b"\x01\x00"
        out = b"\xff\xd8" + segment(0xDB, b"\0" + b"\x08" * 64) + segment(0xC0, frame) + segment(0xC4, tables)
        if self.restart:
            out += segment(0xDD, struct.pack(">H", self.restart))
        return out + segment(0xDA, scan + b"\0\x3f\0") + text + b"\xff\xd9"

    def packed(self, bits):
        text = "".join(format(code, f"0{length}b") for code, length in bits)
        text += "1" * (-len(text) % 8)
        packed = int(text, 2).to_bytes(len(text) // 8, "big")
        return packed.replace(b"\xff", b"\xff\x00")


def jpegs():
    for (width, height), progressive in itertools.product(SIDES, [False, True]):
        image = picture(width, height)
        for sampling in (0, 1, 2):
            name = f"jpeg {width}x{height} sampling {sampling} progressive {progressive}"
            yield name, saved(image, "JPEG", quality=92, subsampling=sampling, progressive=progressive)
        for mode in ("L", "CMYK"):
            name = f"jpeg {width}x{height} {mode} progressive {progressive}"
            yield name, saved(image.convert(mode), "JPEG", quality=92, progressive=progressive)
        for blocks in (1, 3):
            name = f"jpeg {width}x{height} restart {blocks} progressive {progressive}"
            options = {"restart_marker_blocks": blocks, "progressive": progressive}
            yield name, saved(image, "JPEG", quality=90, optimize=True, **options)


def claims():
    markers = {"none": None, "short": adobe(0, short=True)} | {it: adobe(it) for it in (0, 1, 2, 200)}
    names = [None, b"\0\1\2", b"\1\2\3", b"RGB", b"rgb", b"BGR"]
    for sampling, progressive in ((0, False), (2, False), (0, True)):
        file = saved(picture(61, 43), "JPEG", quality=92, subsampling=sampling, progressive=progressive)
        for jfif, (adobe_name, marker), name in itertools.product([True, False], markers.items(), names):
            what = f"claims jfif {jfif} adobe {adobe_name} names {name} sampling {sampling} {progressive}"
            yield what, remarked(file, jfif, marker, name)
    # RGB as such, and components of four colours.
    image = picture(61, 43)
    file = saved(image, "JPEG", quality=92, keep_rgb=True)
    for adobe_name, marker in markers.items():
        yield f"claims rgb adobe {adobe_name}", remarked(file, False, marker, None)
    for progressive in (False, True):
        file = saved(image.convert("CMYK"), "JPEG", quality=92, progressive=progressive)
        for jfif, (adobe_name, marker) in itertools.product([True, False], markers.items()):
            yield f"claims cmyk jfif {jfif} adobe {adobe_name} {progressive}", remarked(file, jfif, marker, None)


def samplings():
    factors = [1, 2, 4]
    fine = list(itertools.product(factors, factors))
    seed = 0
    for luma, blue in itertools.product(fine, fine):
        for red in {blue, (1, 1)}:
            if luma[0] * luma[1] + blue[0] * blue[1] + red[0] * red[1] > 10:
                continue  # more blocks than a unit may have
            for restart in (0, 2):
                seed += 1
                encoder = Encoder([luma, blue, red], restart=restart)
                yield f"sampling {luma} {blue} {red} restart {restart}", encoder.encode(61, 43, seed)
    for luma in [(3, 1), (1, 3), (3, 2)]:
        yield f"sampling {luma} thirds", Encoder([luma, (1, 1), (1, 1)]).encode(61, 43, 3)
    for grey in fine:
        yield f"sampling grey {grey}", Encoder([grey]).encode(61, 43, 5)
    for key in [(1, 1), (2, 2)]:
        yield f"sampling four {key}", Encoder([(2, 2), (1, 1), (1, 1), key]).encode(61, 43, 6)


def exif(kind, value, order):
    """An EXIF block of one entry, the orientation."""
    form = {"MM": ">", "II": "<"}[order]
    number = {1: "Bxxx", 3: "Hxx", 4: "I"}[kind]
    entry = struct.pack(form + "HHI" + number, 274, kind, 1, value)
    head = order.encode() + struct.pack(form + "HI", 42, 8)
    return b"Exif\0\0" + head + struct.pack(form + "H", 1) + entry + b"\0\0\0\0"


def orientations():
    file = saved(picture(40, 24), "JPEG", quality=92)
    head, rest = file[:20], file[20:]
    for value, kind, order in itertools.product([0, 1, 3, 6, 8, 9], [1, 3, 4], ["MM", "II"]):
        block = segment(0xE1, exif(kind, value, order))
        yield f"exif {value} type {kind} {order}", head + block + rest
    late = segment(0xE1, exif(3, 6, "MM"))
    yield "exif after the scan", file[:-2] + late + file[-2:]
    two = segment(0xE1, exif(3, 6, "MM")) + segment(0xE1, exif(3, 3, "MM"))
    yield "exif twice", head + two + rest


def others():
    for width, height in SIDES:
        image = picture(width, height)
        alpha = image.copy()
        ramp = numpy.tile(numpy.linspace(0, 255, width).astype(numpy.uint8), (height, 1))
        alpha.putalpha(Image.fromarray(ramp))
        size = f"{width}x{height}"
        for mode in ("L", "LA", "RGB", "RGBA", "P", "1"):
            source = alpha if mode in ("LA", "RGBA") else image
            yield f"png {size} {mode}", saved(source.convert(mode), "PNG")
        yield f"png {size} 16 bits", saved(Image.fromarray(ramp.astype(numpy.uint16) * 257), "PNG")
        yield f"webp {size} lossy", saved(image, "WEBP", quality=95)
        yield f"webp {size} lossless", saved(image, "WEBP", lossless=True)
        yield f"webp {size} alpha", saved(alpha, "WEBP", lossless=True, exact=True)
        yield f"gif {size}", saved(image, "GIF")
        for mode in ("L", "RGB", "P", "1"):
            yield f"bmp {size} {mode}", saved(image.convert(mode), "BMP")
        for mode, compression in itertools.product(("L", "RGB", "RGBA", "P", "1"), (None, "tiff_lzw", "tiff_deflate")):
            source = alpha if mode == "RGBA" else image
            yield f"tiff {size} {mode} {compression}", saved(source.convert(mode), "TIFF", compression=compression)
    yield from gifs()
    yield from premultiplied()


def gifs():
    """First frames that do not fill the screen."""
    file = bytearray(saved(picture(40, 24).convert("P"), "GIF"))
    for wide, high, left, top in [(40, 24, 0, 0), (64, 48, 0, 0), (64, 48, 10, 7), (50, 24, 10, 0)]:
        file[6:10] = struct.pack("<HH", wide, high)
        at = file.index(b"\x2c", 13 + 3 * 256)
        file[at + 1 : at + 5] = struct.pack("<HH", left, top)
        yield f"gif on a screen of {wide}x{high} at {left},{top}", bytes(file)


def premultiplied():
    """TIFF whose colours are multiplied with alpha (ExtraSamples 1), or not (2)."""
    image = numpy.asarray(picture(40, 24))
    alpha = numpy.tile(numpy.linspace(30, 255, 40).astype(numpy.uint8), (24, 1))[..., None]
    for extra in (0, 1, 2):
        colors = image * (alpha / 255) if extra == 1 else image
        pixels = numpy.concatenate([colors.astype(numpy.uint8), alpha], axis=-1).tobytes()
        entries = [(256, 3, 1, 40), (257, 3, 1, 24), (258, 3, 4, 8 + len(pixels)), (259, 3, 1, 1), (262, 3, 1, 2),
                   (273, 4, 1, 8), (277, 3, 1, 4), (278, 3, 1, 24), (279, 4, 1, len(pixels)), (338, 3, 1, extra)]
        body = struct.pack("<HHHH", 8, 8, 8, 8) + struct.pack("<H", len(entries))
        body += b"".join(struct.pack("<HHII", *entry) for entry in entries) + b"\0\0\0\0"
        place = 8 + len(pixels) + 8
        yield f"tiff extra samples {extra}", b"II*\0" + struct.pack("<I", place) + pixels + body


def reference(file):
    """As Pillow has it, by the rules of the product: upright, alpha dropped, 16 bits to their high byte."""
    try:
        image = Image.open(io.BytesIO(file))
        image.load()
    except Exception as error:  # whatever it is, Pillow does not read it
        return str(error)
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        image = Image.fromarray((numpy.asarray(image) >> 8).astype(numpy.uint8))
    if image.mode in ("RGBA", "LA"):
        pixels = numpy.asarray(image)
        image = Image.fromarray(pixels[..., 0] if image.mode == "LA" else pixels[..., :3])
    return numpy.asarray(image.convert("RGB")).astype(float)


def verdict(expected, line, path):
    """Equal, refused or wrong, and why."""
    numbers = line.split()
    if not (len(numbers) == 2 and all(it.isdigit() for it in numbers)):
        return "refused", line
    height, width = map(int, numbers)
    found = numpy.fromfile(str(path) + ".rgb", numpy.uint8).reshape(height, width, 3).astype(float)
    if isinstance(expected, str):
        return "ours alone", f"Pillow says {expected}"
    if found.shape != expected.shape:
        return "wrong", f"{found.shape} for {expected.shape}"
    difference = numpy.abs(found - expected).mean()
    limit = SMALL_MEAN if min(height, width) < SMALL else MEAN
    return ("equal" if difference <= limit else "wrong"), f"mean difference {difference:.2f} of 255"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--decode", required=True, help="the example program of the core")
    parser.add_argument("--show", action="store_true", help="a line for every file")
    arguments = parser.parse_args()
    random.seed(0)
    cases = list(itertools.chain(jpegs(), claims(), samplings(), orientations(), others()))
    counts, wrong, reasons = {}, [], Counter()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / str(number) for number in range(len(cases))]
        for path, (_, file) in zip(paths, cases):
            path.write_bytes(file)
        run = subprocess.run([arguments.decode, *map(str, paths)], capture_output=True, text=True, check=True)
        lines = run.stdout.splitlines()
        assert len(lines) == len(cases), run.stderr
        for (what, file), path, line in zip(cases, paths, lines):
            judged, why = verdict(reference(file), line, path)
            counts.setdefault(what.split()[0], Counter())[judged] += 1
            if judged == "refused":
                reasons[what.split()[0] + ": " + why] += 1
            if judged == "wrong":
                wrong.append(f"{what}: {why}")
            if arguments.show:
                print(judged, what, why, sep="\t")
    for kind, count in counts.items():
        print(f"{kind:10}", ", ".join(f"{number} {judged}" for judged, number in sorted(count.items())))
    for reason, count in sorted(reasons.items()):
        print(f"  {count:4} {reason}")
    if wrong:
        sys.exit("\n".join(["decoded to other colours:", *wrong]))
    print(f"{len(cases)} files, none decoded to other colours")


if __name__ == "__main__":
    main()
