#!/usr/bin/env python3
"""Draws data to learn photographs from, with true masks: photographic cut-outs before patchworks of wallpapers.

  photographs.py --packages DIR --out DIR [--images 4000] [--seed 1]

DIR holds the unpacked Debian packages tuxpaint-stamps-default, mate-backgrounds and plasma-workspace-wallpapers, whose
pictures (GPL and CC) belong in no repository. An object's shape, colours and texture are drawn anew in each image, and the
ground is several pieces of wallpapers that are segments themselves, so that a batch rarely holds the same region twice.

  OUT/train/a/*.jpg                       images to learn from
  OUT/masks/{true,shuffled,whole}/a/*.png their label maps, those of other images, and one region for all
  OUT/head/{images,kinds,objects}         objects to learn from, for segmentation heads: labels by kind, or 1 for any
  OUT/test/{images,kinds,objects,regions} objects and wallpapers that were held out, and region 1 to judge
  OUT/test.json                           [[file, object, kind]]
  OUT/{kinds,objects}.txt                 what the labels mean
"""
import argparse
import glob
import json
import os
import pathlib
import random

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

KINDS = ["animals", "food", "plants", "vehicles", "household/tools", "household/dishes", "hobbies/music", "clothes", "sports"]
SIDE = 128
# Views of each held-out object.
VIEWS = 4


def cutouts(root):
    """Name, kind and picture of each photographic stamp: what fills its whole frame is no cut-out."""
    for kind, folder in enumerate(KINDS):
        pattern = f"{root}/usr/share/tuxpaint/stamps/{folder}/**/*.png"
        for path in sorted(glob.glob(pattern, recursive=True)):
            if "cartoon" in path:
                continue
            image = Image.open(path).convert("RGBA")
            alpha = image.getchannel("A").point(lambda value: 255 if value > 20 else 0)
            if alpha.getbbox() is None or (np.asarray(alpha) == 0).mean() < 0.08:
                continue
            image = image.crop(alpha.getbbox())
            image.thumbnail((160, 160), Image.LANCZOS)
            yield path.split("stamps/")[1], kind, image


def wallpapers(root):
    """One picture of each wallpaper, whatever sizes it comes in."""
    patterns = ["backgrounds/mate/nature/*.jpg", "backgrounds/mate/abstract/*.png", "wallpapers/*/contents/images/*.jpg"]
    seen = {}
    for path in sorted(path for pattern in patterns for path in glob.glob(f"{root}/usr/share/{pattern}")):
        name = pathlib.Path(path).parts[-4] if "wallpapers" in path else path
        if os.path.getsize(path) > 30_000:
            seen.setdefault(name, path)
    for path in seen.values():
        image = Image.open(path).convert("RGB")
        image.thumbnail((900, 900))
        yield image


def piece(rng, pool):
    """A square of a wallpaper."""
    image = rng.choice(pool)
    side = rng.uniform(0.25, 0.9) * min(image.size)
    left, top = (rng.uniform(0, length - side) for length in image.size)
    box = tuple(int(at) for at in (left, top, left + side, top + side))
    return image.crop(box).resize((SIDE, SIDE), Image.BICUBIC)


def ground(rng, pool, pieces):
    """Pieces of wallpapers that meet along straight lines, and which pixel is of which."""
    points = np.array([[rng.uniform(0, SIDE), rng.uniform(0, SIDE)] for _ in range(pieces)])
    y, x = np.mgrid[:SIDE, :SIDE]
    distance = (x[..., None] - points[:, 0]) ** 2 + (y[..., None] - points[:, 1]) ** 2
    labels = distance.argmin(-1).astype(np.uint8)
    layers = np.stack([np.asarray(piece(rng, pool)) for _ in range(pieces)])
    return Image.fromarray(np.take_along_axis(layers, labels[None, ..., None], 0)[0]), labels


def recoloured(rng, image):
    """Other light and colours, some of them gone."""
    for change, least, most in ((ImageEnhance.Brightness, 0.6, 1.4), (ImageEnhance.Contrast, 0.6, 1.4), (ImageEnhance.Color, 0.3, 1.5)):
        image = change(image).enhance(rng.uniform(least, most))
    hsv = np.asarray(image.convert("HSV")).copy()
    hsv[..., 0] = (hsv[..., 0].astype(int) + rng.randint(-40, 40)) % 256
    image = Image.fromarray(hsv, "HSV").convert("RGB")
    return ImageOps.grayscale(image).convert("RGB") if rng.random() < 0.2 else image


def varied(rng, pool, cutout):
    """The cut-out with another shape (stretched, sheared, turned), other colours, and a wallpaper's texture on it."""
    alpha, image = cutout.getchannel("A"), recoloured(rng, cutout.convert("RGB"))
    texture = piece(rng, pool).resize(image.size).convert("L")
    image = Image.blend(image, Image.merge("RGB", [texture] * 3), rng.uniform(0, 0.3))
    image.putalpha(alpha)
    width, height = image.size
    stretched = (max(4, int(width * rng.uniform(0.75, 1.33))), max(4, int(height * rng.uniform(0.75, 1.33))))
    image = image.resize(stretched, Image.BICUBIC)
    shear = rng.uniform(-0.3, 0.3)
    wider = image.width + int(abs(shear) * image.height)
    offset = -abs(shear) * image.height if shear > 0 else 0
    image = image.transform((wider, image.height), Image.AFFINE, (1, shear, offset, 0, 1, 0), Image.BICUBIC)
    if rng.random() < 0.5:
        image = image.transpose(Image.FLIP_LEFT_RIGHT)
    return image.rotate(rng.uniform(-30, 30), expand=True, resample=Image.BICUBIC)


def paste(rng, image, cutout, sides):
    """Puts a cut-out somewhere; gives where it lies."""
    scale = rng.uniform(*sides) / max(cutout.size)
    cutout = cutout.resize([max(4, int(length * scale)) for length in cutout.size], Image.LANCZOS)
    place = tuple(rng.randint(0, max(0, SIDE - length)) for length in cutout.size)
    image.paste(cutout.convert("RGB"), place, cutout.getchannel("A"))
    mask = Image.new("L", image.size, 0)
    mask.paste(cutout.getchannel("A").point(lambda value: 255 if value > 127 else 0), place)
    return np.asarray(mask) > 0


def save(folder, name, array):
    path = folder / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def draw_training(rng, out, objects, pool, images):
    maps = []
    for number in range(images):
        image, labels = ground(rng, pool, rng.randint(2, 4))
        first = int(labels.max()) + 1
        for object_number in range(rng.randint(2, 3)):
            labels[paste(rng, image, varied(rng, pool, rng.choice(objects)[2]), (40, 84))] = first + object_number
        image.save(out / f"train/a/{number:05d}.jpg", quality=92)
        save(out / "masks/true/a", f"{number:05d}", labels)
        save(out / "masks/whole/a", f"{number:05d}", np.zeros_like(labels))
        maps.append(labels)
    for number in range(images):
        save(out / "masks/shuffled/a", f"{number:05d}", maps[(number + images // 2) % images])


def draw_labelled(rng, out, objects, pool, views):
    """Images with one object in question and another beside it; labels are kinds from 1, and region 1 is the object."""
    rows = []
    (out / "images").mkdir(parents=True, exist_ok=True)
    for number, (name, kind, cutout) in enumerate(objects):
        for view in range(views):
            image, _ = ground(rng, pool, rng.randint(1, 3))
            kinds, regions = np.zeros((2, SIDE, SIDE), np.uint8)
            other = rng.choice([it for it in objects if it[0] != name])
            kinds[paste(rng, image, varied(rng, pool, other[2]), (36, 60))] = 1 + other[1]
            mask = paste(rng, image, varied(rng, pool, cutout), (60, 96))
            kinds[mask], regions[mask] = 1 + kind, 1
            file = f"{number:03d}_{view}"
            if rng.random() < 0.5:
                image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1.2)))
            image.save(out / f"images/{file}.png")
            save(out / "kinds", file, kinds)
            save(out / "objects", file, np.minimum(kinds, 1))
            save(out / "regions", file, regions)
            rows.append((f"{file}.png", name, KINDS[kind]))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", required=True)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--held-out", type=int, default=90)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng, out = random.Random(arguments.seed), arguments.out
    objects, pool = list(cutouts(arguments.packages)), list(wallpapers(arguments.packages))
    if len(objects) <= arguments.held_out or len(pool) < 3:
        parser.error(f"{arguments.packages} holds {len(objects)} objects and {len(pool)} wallpapers: unpack the packages there")
    rng.shuffle(objects)
    rng.shuffle(pool)
    test, known = objects[: arguments.held_out], objects[arguments.held_out :]
    cut = len(pool) * 2 // 3
    print(f"{len(known)} objects to learn from, {len(test)} held out; {cut} and {len(pool) - cut} wallpapers")
    (out / "train/a").mkdir(parents=True)
    draw_training(rng, out, known, pool[:cut], arguments.images)
    draw_labelled(rng, out / "head", known, pool[:cut], 2)
    rows = draw_labelled(rng, out / "test", test, pool[cut:], VIEWS)
    (out / "test.json").write_text(json.dumps(rows))
    (out / "kinds.txt").write_text("\n".join(["ground", *(kind.replace("/", "-") for kind in KINDS)]) + "\n")
    (out / "objects.txt").write_text("ground\nobject\n")


if __name__ == "__main__":
    main()
