// SPDX-License-Identifier: MIT
// Loops the compiler vectorises (-O3). Built once for the baseline and, on x86, once more with AVX2 (-DSUF=_avx2).
#include <stdint.h>
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#ifndef SUF
#define SUF
#endif
enum { N = 4096, M = 64 };
uint64_t CAT(simd_f32, SUF)(uint64_t r) {
    static float x[N], y[N], a[M][M], b[M][M], c[M][M];
    for (int i = 0; i < N; i++) x[i] = i, y[i] = 1;
    for (int i = 0; i < M; i++) for (int j = 0; j < M; j++) a[i][j] = i - j, b[i][j] = i + j;
    for (; r--;) {
        float k = 1.0f / (r + 1);
        for (int i = 0; i < N; i++) y[i] += k * x[i];
        if (r % 16 == 0)
            for (int i = 0; i < M; i++) for (int l = 0; l < M; l++) { float s = a[i][l]; for (int j = 0; j < M; j++) c[i][j] += s * b[l][j]; }
    }
    return (uint64_t)(y[N - 1] + c[3][5] * c[3][5]);
}
uint64_t CAT(simd_u8, SUF)(uint64_t r) {
    static uint8_t x[N], y[N], z[N];
    uint64_t s = 0;
    for (int i = 0; i < N; i++) x[i] = i * 7, y[i] = i * 13;
    for (; r--;) {
        for (int i = 0; i < N; i++) z[i] = (x[i] + y[i] + 1) >> 1;
        for (int i = 0; i < N; i++) x[i] = z[i] > y[i] ? z[i] - y[i] : x[i] ^ 0x55;
        uint32_t t = 0;
        for (int i = 0; i < N; i++) t += z[i];
        s += t;
    }
    return s;
}
