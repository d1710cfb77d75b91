#!/usr/bin/env python3
"""Times scikit-image's felzenszwalb on the images named, one thread: a line of seconds for each repetition of each.

  time_felzenszwalb.py --scale 1000 --sigma 0.8 --min-size 1000 --repetitions 3 IMAGE...
"""
import argparse
import time

import numpy
from PIL import Image
from skimage.segmentation import felzenszwalb


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, required=True)
    parser.add_argument("--sigma", type=float, required=True)
    parser.add_argument("--min-size", type=int, required=True)
    parser.add_argument("--repetitions", type=int, required=True)
    parser.add_argument("images", nargs="+")
    arguments = parser.parse_args()
    for path in arguments.images:
        image = numpy.asarray(Image.open(path).convert("RGB"))
        for _ in range(arguments.repetitions):
            start = time.perf_counter()
            felzenszwalb(image, scale=arguments.scale, sigma=arguments.sigma, min_size=arguments.min_size)
            print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
