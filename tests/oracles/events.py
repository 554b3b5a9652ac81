#!/usr/bin/env python3
"""Oracle of the file that TensorBoard reads. Writes events.json: the metrics' lines, and the file as hexadecimal.

From the descriptions of TensorFlow's record format and of the protocol buffer Event, bit by bit:
  CRC-32C: polynomial 0x1EDC6F41, reflected, start and end inverted;  masked(c) = rotate right by 15, + 0xa282ead8
"""

import json
import struct

import store


def crc32c(data):
    c = 0xFFFFFFFF
    for byte in data:
        c ^= byte
        for _ in range(8):
            c = c >> 1 ^ (0x82F63B78 if c & 1 else 0)
    return c ^ 0xFFFFFFFF


def masked(data):
    c = crc32c(data)
    return struct.pack("<I", ((c >> 15 | c << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(message):
    length = struct.pack("<Q", len(message))
    return length + masked(length) + message + masked(message)


def varint(n):
    out = b""
    while True:
        out += bytes([n & 0x7F | (0x80 if n > 0x7F else 0)])
        n >>= 7
        if n == 0:
            return out


def nested(field, data):
    return bytes([field << 3 | 2]) + varint(len(data)) + data


def scalar(tag, value):
    return nested(1, nested(1, tag.encode()) + bytes([2 << 3 | 5]) + struct.pack("<f", value))


def event(time, rest):
    return record(bytes([1 << 3 | 1]) + struct.pack("<d", time) + rest)


def main():
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C's definition
    finished = 1000.0
    lines = [
        {"epoch": 1, "step": 60, "lr": 0.5, "recorded": {"kappa": {"audio": 1.25, "image": 0.75}},
         "epoch_seconds": 2.5},
        {"epoch": 2, "step": 3000, "lr": 0.25, "recorded": {"clipped": 0.125}, "epoch_seconds": 1.5},
    ]
    file = event(996.0, nested(3, b"brain.Event:2"))
    # The scalars in the order of their names.
    file += event(998.5, bytes([2 << 3, 60]) + nested(5, scalar("epoch_seconds", 2.5) + scalar("lr", 0.5)
                  + scalar("recorded/kappa/audio", 1.25) + scalar("recorded/kappa/image", 0.75)))
    file += event(1000.0, bytes([2 << 3]) + varint(3000) + nested(5, scalar("epoch_seconds", 1.5)
                  + scalar("lr", 0.25) + scalar("recorded/clipped", 0.125)))
    store.write(__file__, {"finished": finished, "lines": [json.dumps(x) for x in lines], "file": file.hex()})


if __name__ == "__main__":
    main()
