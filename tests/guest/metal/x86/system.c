#include "modes.h"
void test_system(void) {}
