// The conformance suite on joint training, which the suite itself compares every other method with.
#include "poise/conformance_test.h"

POISE_CONFORMANCE("");
