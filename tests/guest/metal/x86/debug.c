#include "modes.h"
void test_debug(void) {}
