#!/usr/bin/env python3
"""Makes the bundled sample of av_digits from the full data.

    python3 make_sample.py FULL_DATA OUTPUT

FULL_DATA holds mnist/*.gz and fsdd/recordings/*.wav; OUTPUT receives the same layout with fewer images and
recordings, the recordings as FLAC. It needs NumPy and the command `flac`. The same input gives the same bytes
(with the same versions of zlib and flac): nothing is drawn at random, and no file carries a name or a time.

Images: of every class the same number, evenly spaced over the class's images in their original order. The
training images come from the first 50,000 of MNIST's training file and the validation images from its last
10,000, so that an image has the same role here as in the full data, where the last sixth of the training file
is the validation split. Test images come from MNIST's test file.

Recordings: whole takes, so that every speaker says every digit equally often in every split.
"""

import gzip
import struct
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np

CLASSES = 10
TRAIN_IMAGES = 3000
VALIDATION_IMAGES = TRAIN_IMAGES // 5  # the last sixth of the training file
TEST_IMAGES = 600

TAKES = {"test": range(0, 3), "validation": range(5, 7), "train": range(10, 18)}


def read_idx(path):
    """An IDX file of unsigned bytes: two zero bytes, type 8, rank, sizes (big-endian), values."""
    with gzip.open(path) as file:
        data = file.read()
    zero, kind, rank = struct.unpack(">HBB", data[:4])
    if zero != 0 or kind != 8:
        raise SystemExit(f"{path} is no IDX file of unsigned bytes.")
    shape = struct.unpack(f">{rank}I", data[4 : 4 + 4 * rank])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def write_idx(path, array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    with open(path, "wb") as file:
        with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=file, mtime=0) as packed:
            packed.write(header + array.tobytes())


def choose(labels, count):
    """Positions of `count` images, equally many a class and evenly spaced over it, in original order."""
    per_class = count // CLASSES
    chosen = []
    for label in range(CLASSES):
        members = np.flatnonzero(labels == label)
        chosen.append(members[np.arange(per_class) * len(members) // per_class])
    return np.sort(np.concatenate(chosen))


def make_images(source, target):
    target.mkdir(parents=True)
    labels = read_idx(source / "train-labels-idx1-ubyte.gz")
    border = len(labels) - len(labels) // 6
    train = choose(labels[:border], TRAIN_IMAGES)
    validation = border + choose(labels[border:], VALIDATION_IMAGES)
    rows = {
        "train": np.concatenate([train, validation]),
        "t10k": choose(read_idx(source / "t10k-labels-idx1-ubyte.gz"), TEST_IMAGES),
    }
    for part, chosen in rows.items():
        for name in (f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz"):
            subset = read_idx(source / name)[chosen]
            write_idx(target / name, subset)
            if not np.array_equal(read_idx(target / name), subset):
                raise SystemExit(f"{target / name} does not read back as it was written.")
    print(f"images: {len(train)} train, {len(validation)} validation, {len(rows['t10k'])} test")


def wav_samples(path):
    with wave.open(str(path)) as file:
        if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, 8000):
            raise SystemExit(f"{path} is not mono, 16 bit, 8 kHz.")
        return file.readframes(file.getnframes())


def flac_samples(path):
    raw = ["--force-raw-format", "--endian=little", "--sign=signed"]
    return subprocess.run(["flac", "-d", "-c", "-s", *raw, str(path)], check=True, capture_output=True).stdout


def make_recordings(source, target):
    target.mkdir(parents=True)
    for split, takes in TAKES.items():
        recordings = sorted(path for take in takes for path in source.glob(f"*_{take}.wav"))
        for wav in recordings:
            flac = target / f"{wav.stem}.flac"
            options = ["-s", "-8", "-e", "-p", "--no-padding", "--no-seektable", "--no-preserve-modtime"]
            subprocess.run(["flac", *options, "-o", str(flac), str(wav)], check=True)
            if flac_samples(flac) != wav_samples(wav):
                raise SystemExit(f"{flac} does not decode to the samples of {wav}.")
        print(f"recordings: {len(recordings)} {split}, every sample equal to the WAV file's")


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    for part in ("mnist", "fsdd"):
        if not (source / part).is_dir():
            raise SystemExit(f"{source} has no folder {part}: give the folder of the full data first.")
        if (target / part).exists():
            raise SystemExit(f"{target / part} exists: remove it first.")
    make_images(source / "mnist", target / "mnist")
    make_recordings(source / "fsdd" / "recordings", target / "fsdd" / "recordings")
    written = [path for part in ("mnist", "fsdd") for path in (target / part).rglob("*") if path.is_file()]
    print(f"{len(written)} files, {sum(path.stat().st_size for path in written) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
