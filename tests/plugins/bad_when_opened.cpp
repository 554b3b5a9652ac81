// Ends the process that opens it.
#include <cstdlib>

__attribute__((constructor)) static void trap() { std::abort(); }
