"""Reads shards with TensorFlow as DetCon's own input pipeline does, and checks what it sees.

    parse_shards.py FOLDER [SPLIT]

The feature specification and the reshaping are those of `imagenet_with_fh.py` and `dataset_adapter.py`; the checks on
top are that every image is a JPEG whose decoded size its mask has, and that the other features say the same.
Needs TensorFlow (`make test-tensorflow` fetches it). Prints one line of JSON.
"""

import glob
import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf  # noqa: E402

SPEC = {
    "image/encoded": tf.io.FixedLenFeature((), tf.string, default_value=""),
    "image/class/label": tf.io.FixedLenFeature([], dtype=tf.int64, default_value=-1),
    "image/felzenszwalb_segmentations": tf.io.VarLenFeature(tf.string),
}
DESCRIPTION = {
    "image/height": tf.io.FixedLenFeature([], tf.int64),
    "image/width": tf.io.FixedLenFeature([], tf.int64),
    "image/channels": tf.io.FixedLenFeature([], tf.int64),
    "image/colorspace": tf.io.FixedLenFeature([], tf.string),
    "image/format": tf.io.FixedLenFeature([], tf.string),
    "image/filename": tf.io.FixedLenFeature([], tf.string),
    "image/class/synset": tf.io.FixedLenFeature([], tf.string),
    "image/class/text": tf.io.FixedLenFeature([], tf.string),
}


def check(record):
    """One record, through upstream's steps: its label from 0 and its number of segments."""
    parsed = tf.io.parse_single_example(record, SPEC)
    masks = tf.sparse.to_dense(parsed["image/felzenszwalb_segmentations"], default_value="")
    masks = tf.io.decode_raw(masks, tf.uint8)
    image = parsed["image/encoded"]
    if tf.strings.substr(image, 0, 4) == b"\xff\xd8\xff\xe0":
        shape = tf.image.extract_jpeg_shape(image)
    else:
        shape = tf.shape(tf.image.decode_image(image, channels=3))
    mask = tf.reshape(masks, tf.concat([[1], shape[:2]], axis=0))
    pixels = tf.image.decode_jpeg(image, channels=3)

    described = tf.io.parse_single_example(record, DESCRIPTION)
    size = [int(described["image/height"]), int(described["image/width"])]
    assert pixels.shape[:2] == size and mask.shape[1:] == size, (pixels.shape, mask.shape, size)
    assert int(described["image/channels"]) == 3
    assert described["image/colorspace"] == b"RGB" and described["image/format"] == b"JPEG"
    segments = tf.unique(tf.reshape(mask, [-1]))[0]
    assert int(tf.reduce_max(segments)) + 1 == len(segments), "segments are numbered without gaps"
    return int(parsed["image/class/label"]) - 1, len(segments)


def main():
    folder, split = sys.argv[1], (sys.argv[2:] or ["train"])[0]
    paths = sorted(glob.glob(os.path.join(folder, f"{split}-*-of-*")))
    assert paths, f"{folder} holds no {split} shards"
    results = [check(record) for record in tf.data.TFRecordDataset(paths)]
    labels = sorted({label for label, _ in results})
    segments = [count for _, count in results]
    summary = {"shards": len(paths), "records": len(results), "labels": labels, "segments": sum(segments)}
    print(json.dumps({"tensorflow": tf.__version__, **summary}))


if __name__ == "__main__":
    main()
