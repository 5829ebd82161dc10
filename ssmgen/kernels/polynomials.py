"""Minimax polynomials of the kernels' exponential functions, as exact hexadecimal floats."""

from __future__ import annotations

__all__ = [
    "COS_DOUBLE",
    "COS_FLOAT",
    "EXP2_DOUBLE",
    "EXP2_FLOAT",
    "EXP2_SIXTEENTH",
    "SIN_DOUBLE",
    "SIN_FLOAT",
]

# Coefficients of 2^f, highest power first, by Remez's algorithm on (2^f - 1) / f, so that the constant term is exactly
# 1; the float ones under the weight |f| / (|f| + 0.4), the double ones under |f|.
EXP2_FLOAT = (
    "0x1.5bcef4p-10",
    "0x1.3cd19cp-7",
    "0x1.c6b660p-5",
    "0x1.ebfa10p-3",
    "0x1.62e42cp-1",
    "1.0",
)
EXP2_DOUBLE = (
    "0x1.e79207922b469p-32",
    "0x1.e604b02a021c9p-28",
    "0x1.b526636f187a6p-24",
    "0x1.62bfd557d0c24p-20",
    "0x1.ffcbfbc9b5748p-17",
    "0x1.430913091bd46p-13",
    "0x1.5d87fe78c128ap-10",
    "0x1.3b2ab6fba1f4fp-7",
    "0x1.c6b08d704a052p-5",
    "0x1.ebfbdff82c598p-3",
    "0x1.62e42fefa39efp-1",
    "1.0",
)

# Coefficients of (2^f - 1) / f for f in [-1/32, 1/32], highest power first, by least squares at Chebyshev's nodes,
# each refitted after those above it were rounded: the error of 2^f is 2.4e-9.
EXP2_SIXTEENTH = ("0x1.c6b348p-5", "0x1.ebff92p-3", "0x1.62e430p-1")

# Coefficients in f^2, highest power first, of (cos(pi f) - 1) / f^2 and of sin(pi f) / f - pi for f in [-1/2, 1/2], by
# least squares, each power refitted after those below it were rounded: errors of 1.2e-9 and 3.5e-9, or of 5.5e-18 and
# 2e-19.
COS_FLOAT = (
    "-0x1.8c0b50p-6",
    "0x1.e0dbdep-3",
    "-0x1.55ce5cp+0",
    "0x1.03c1d8p+2",
    "-0x1.3bd3ccp+2",
)
SIN_FLOAT = (
    "0x1.3c5f26p-4",
    "-0x1.323450p-1",
    "0x1.46677cp+1",
    "-0x1.4abbb6p+2",
    "-0x1.5a307cp-23",
)
COS_DOUBLE = (
    "0x1.167c22aeef940p-18",
    "-0x1.b695b5d772851p-14",
    "0x1.f9d2561c35bd5p-10",
    "-0x1.a6d1efd023277p-6",
    "0x1.e1f506815e272p-3",
    "-0x1.55d3c7e3c0266p+0",
    "0x1.03c1f081b59a7p+2",
    "-0x1.3bd3cc9be45dcp+2",
)
SIN_DOUBLE = (
    "0x1.9c7633eef7739p-21",
    "-0x1.6f73e49b09827p-16",
    "0x1.e8f336f324bd0p-12",
    "-0x1.e3074d46fb7b9p-8",
    "0x1.50783483d4aebp-4",
    "-0x1.32d2cce624376p-1",
    "0x1.466bc6775a9ecp+1",
    "-0x1.4abbce625be51p+2",
    "0x1.0c2ceb68cf55cp-53",
)
