"""What oracles check themselves with: slopes by central differences, and that mistakes' values are far off."""

import numpy as np


def slopes(value, array, step=1e-6):
    """d value() / d array by central differences; `value` reads `array`, which is changed and put back."""
    result = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + step
        above = value()
        array[index] = kept - step
        result[index] = (above - value()) / (2 * step)
        array[index] = kept
    return result


def differs(one, other, relative=0.05):
    """Whether two values are so far apart that no test mistakes one for the other."""
    one, other = np.asarray(one, float), np.asarray(other, float)
    return np.abs(one - other).max() > relative * np.abs(other).max()
