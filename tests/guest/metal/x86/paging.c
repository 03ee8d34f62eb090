#include "modes.h"
void test_paging(void) {}
