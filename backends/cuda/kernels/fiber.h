// Runs kernels on the CPU: one block at a time, one fibre for each CUDA thread. A warp runs as far as its next block barrier before another warp does, in forward, reverse
// or seeded random order, so that a missing barrier gives another result in some order. Divergent barriers and masks, deadlocks and unaligned vectors are errors.
// It cannot show what only real parallelism shows: races between blocks, and the asynchronous proxies of sm_90.
#pragma once
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static thread_local
#define __launch_bounds__(...)
#define __restrict__ __restrict

struct dim3 { unsigned x, y, z; };

namespace fiber {

enum Order { FORWARD, REVERSE, RANDOM };
struct Launch { unsigned grid[3], block[3], shared, order; unsigned long long seed; };

enum State { READY, IN_WARP, AT_BARRIER, DONE };
constexpr unsigned MAX_THREADS = 1024, SLOT = 64, STACK = 64 << 10;

struct Copy { void* to; const void* from; unsigned bytes, group; };
struct Thread {
    void* sp;
    State state;
    unsigned mask, phase, barrier, expected, group;
    const char* what;
    dim3 index;
    std::vector<Copy> copies;
};
struct Block {
    Thread threads[MAX_THREADS];
    unsigned char slots[MAX_THREADS / 32][2][32][SLOT];
    unsigned count, current;
    void* scheduler;
    unsigned char* stacks;
    std::vector<unsigned char> shared;
    void (*body)(const void*);
    const void* params;
    dim3 index, block, grid;
    char error[256];
    unsigned long long random;
};

inline Block& self() {
    static thread_local Block* block = nullptr;
    if (!block) {
        block = new Block();
        void* stacks = mmap(nullptr, size_t(MAX_THREADS) * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (stacks == MAP_FAILED) abort();
        block->stacks = static_cast<unsigned char*>(stacks);
    }
    return *block;
}

// Saves the callee's registers (System V ABI) on the stack, keeps its pointer in *save and goes on with the other stack.
#if defined(__x86_64__)
extern "C" void omnihal_fiber_switch(void** save, void* load);
__asm__(R"(
.pushsection .text
.weak omnihal_fiber_switch
.hidden omnihal_fiber_switch
.type omnihal_fiber_switch, @function
omnihal_fiber_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size omnihal_fiber_switch, . - omnihal_fiber_switch
.popsection
)");
constexpr unsigned SAVED = 6;
#elif defined(__aarch64__)
extern "C" void omnihal_fiber_switch(void** save, void* load);
__asm__(R"(
.pushsection .text
.weak omnihal_fiber_switch
.hidden omnihal_fiber_switch
.type omnihal_fiber_switch, %function
omnihal_fiber_switch:
    sub sp, sp, #176
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #176
    ret
.popsection
)");
#else
#error "fibres are written for x86-64 and aarch64"
#endif

inline void leave() {
    Block& b = self();
    omnihal_fiber_switch(&b.threads[b.current].sp, b.scheduler);
}

[[noreturn]] inline void fail(const char* format, ...) {
    Block& b = self();
    int n = snprintf(b.error, sizeof b.error, "block (%u,%u,%u), thread %u: ", b.index.x, b.index.y, b.index.z, b.current);
    va_list rest;
    va_start(rest, format);
    vsnprintf(b.error + n, sizeof b.error - n, format, rest);
    va_end(rest);
    // The scheduler drops the whole block.
    for (;;) leave();
}

inline void enter() {
    Block& b = self();
    b.body(b.params);
    // Copies that nobody waited for end with the thread.
    b.threads[b.current].copies.clear();
    b.threads[b.current].state = DONE;
    for (;;) leave();
}

// ---- what a thread may call ------------------------------------------------------------------------------------------------------------------

inline void* dynamic_shared() {
    auto at = reinterpret_cast<uintptr_t>(self().shared.data());
    return reinterpret_cast<void*>((at + 127) & ~uintptr_t(127));
}

inline const void* aligned(const void* at, unsigned to) {
    if (reinterpret_cast<uintptr_t>(at) % to) fail("%p is not aligned to %u bytes", at, to);
    return at;
}

// Gives every lane of `mask` what each of them gives: an array of 32 elements, valid until the lane's next exchange but one.
inline const void* exchange(unsigned mask, const char* what, const void* mine, unsigned bytes) {
    Block& b = self();
    unsigned lane = b.current % 32;
    Thread& t = b.threads[b.current];
    if (!(mask >> lane & 1)) fail("%s: the mask %08x leaves out its own lane %u", what, mask, lane);
    unsigned char* slots = &b.slots[b.current / 32][t.phase++ & 1][0][0];
    memcpy(slots + size_t(lane) * bytes, mine, bytes);
    t.mask = mask, t.what = what, t.state = IN_WARP;
    leave();
    return slots;
}

inline void barrier(unsigned id, unsigned expected) {
    Thread& t = self().threads[self().current];
    t.barrier = id, t.expected = expected, t.state = AT_BARRIER;
    leave();
}

// For loops that wait for another thread's store.
inline void yield() { leave(); }

inline void copy_later(void* to, const void* from, unsigned bytes) {
    Thread& t = self().threads[self().current];
    aligned(to, bytes);
    t.copies.push_back({to, from, bytes, t.group});
}
inline void commit_copies() { self().threads[self().current].group++; }
inline void wait_copies(unsigned pending) {
    Thread& t = self().threads[self().current];
    size_t kept = 0;
    for (const Copy& c : t.copies) {
        if (c.group + pending >= t.group) t.copies[kept++] = c;
        else if (c.from) memcpy(c.to, c.from, c.bytes);
        else memset(c.to, 0, c.bytes);
    }
    t.copies.resize(kept);
}

// ---- the scheduler ---------------------------------------------------------------------------------------------------------------------------

inline unsigned next_random(Block& b, unsigned below) {
    b.random = b.random * 6364136223846793005ull + 1442695040888963407ull;
    return unsigned((b.random >> 33) % below);
}

inline void order_of(Block& b, const Launch& l, unsigned n, unsigned* order) {
    for (unsigned i = 0; i < n; i++) order[i] = l.order == REVERSE ? n - 1 - i : i;
    if (l.order == RANDOM)
        for (unsigned i = n; i > 1; i--) {
            unsigned j = next_random(b, i), kept = order[i - 1];
            order[i - 1] = order[j], order[j] = kept;
        }
}

inline void start(Block& b, unsigned i) {
    Thread& t = b.threads[i];
    t.state = READY, t.phase = 0, t.group = 0;
    t.copies.clear();
    t.index = {i % b.block.x, i / b.block.x % b.block.y, i / (b.block.x * b.block.y)};
    auto top = reinterpret_cast<uintptr_t>(b.stacks + size_t(i + 1) * STACK);
#if defined(__x86_64__)
    void** sp = reinterpret_cast<void**>(top - 64);
    memset(sp, 0, 64);
    sp[SAVED] = reinterpret_cast<void*>(&enter);
#else
    void** sp = reinterpret_cast<void**>(top - 176);
    memset(sp, 0, 176);
    sp[11] = reinterpret_cast<void*>(&enter);
#endif
    t.sp = sp;
}

inline void resume(Block& b, unsigned i) {
    b.current = i;
    omnihal_fiber_switch(&b.scheduler, b.threads[i].sp);
}

// Lets go the lanes whose whole mask has arrived at the same exchange.
inline bool release_warp(Block& b, unsigned first, unsigned lanes) {
    bool released = false;
    for (unsigned i = 0; i < lanes; i++) {
        Thread& t = b.threads[first + i];
        if (t.state != IN_WARP) continue;
        bool all = true;
        for (unsigned j = 0; j < 32; j++) {
            if (!(t.mask >> j & 1)) continue;
            Thread* other = j < lanes ? &b.threads[first + j] : nullptr;
            if (!other || other->state == DONE) {
                b.current = first + i;
                snprintf(b.error, sizeof b.error, "%s: the mask %08x names lane %u, which has ended", t.what, t.mask, j);
                return false;
            }
            all = all && other->state == IN_WARP && other->mask == t.mask && other->what == t.what;
        }
        if (!all) continue;
        unsigned mask = t.mask;
        for (unsigned j = 0; j < 32; j++)
            if (mask >> j & 1) b.threads[first + j].state = READY;
        released = true;
    }
    return released;
}

// Lets go the threads of every barrier that has as many as it expects.
inline bool release_barriers(Block& b) {
    bool released = false;
    for (unsigned i = 0; i < b.count; i++) {
        Thread& t = b.threads[i];
        if (t.state != AT_BARRIER) continue;
        unsigned arrived = 0, id = t.barrier, expected = t.expected ? t.expected : b.count;
        for (unsigned j = 0; j < b.count; j++) arrived += b.threads[j].state == AT_BARRIER && b.threads[j].barrier == id;
        if (arrived != expected) continue;
        for (unsigned j = 0; j < b.count; j++)
            if (b.threads[j].state == AT_BARRIER && b.threads[j].barrier == id) b.threads[j].state = READY;
        released = true;
    }
    return released;
}

inline void run_warp(Block& b, unsigned first, unsigned lanes, const unsigned* order) {
    for (unsigned long passes = 0; !b.error[0]; passes++) {
        bool ran = false;
        for (unsigned i = 0; i < lanes && !b.error[0]; i++)
            if (b.threads[first + order[i]].state == READY) resume(b, first + order[i]), ran = true;
        if (b.error[0] || (!release_warp(b, first, lanes) && !ran)) return;
        // A warp that spins must let the warp run that it waits for.
        if (passes > 10000) return;
    }
}

inline const char* run_block(Block& b, const Launch& l) {
    memset(b.shared.data(), 0xff, b.shared.size());
    for (unsigned i = 0; i < b.count; i++) start(b, i);
    unsigned warps = (b.count + 31) / 32, warp_order[32], lane_order[32];
    order_of(b, l, warps, warp_order);
    for (unsigned long rounds = 0;; rounds++) {
        for (unsigned w = 0; w < warps; w++) {
            unsigned first = warp_order[w] * 32, lanes = b.count - first < 32 ? b.count - first : 32;
            order_of(b, l, lanes, lane_order);
            run_warp(b, first, lanes, lane_order);
            if (b.error[0]) return b.error;
        }
        unsigned done = 0, ready = 0;
        for (unsigned i = 0; i < b.count; i++) done += b.threads[i].state == DONE, ready += b.threads[i].state == READY;
        if (done == b.count) return nullptr;
        if (release_barriers(b)) continue;
        if (ready && rounds < 10000) continue;
        for (unsigned i = 0; i < b.count; i++)
            if (b.threads[i].state != DONE) {
                Thread& t = b.threads[i];
                snprintf(b.error, sizeof b.error, "block (%u,%u,%u): deadlock: thread %u waits at %s%s, %u of %u threads have ended", b.index.x, b.index.y,
                         b.index.z, i, t.state == AT_BARRIER ? "a barrier" : t.state == IN_WARP ? "the exchange " : "a value",
                         t.state == IN_WARP ? t.what : "", done, b.count);
                return b.error;
            }
    }
}

// Runs a grid. Returns nullptr, or what went wrong; the text is valid until the next run of this OS thread.
inline const char* run(const Launch& l, unsigned most, void (*body)(const void*), const void* params) {
    Block& b = self();
    b.error[0] = 0;
    b.count = l.block[0] * l.block[1] * l.block[2];
    if (b.count == 0 || b.count > most || most > MAX_THREADS) {
        snprintf(b.error, sizeof b.error, "a block of %u threads was launched, the kernel is built for 1 to %u", b.count, most);
        return b.error;
    }
    b.shared.resize(l.shared + 128);
    b.body = body, b.params = params, b.random = l.seed * 2 + 1;
    b.block = {l.block[0], l.block[1], l.block[2]}, b.grid = {l.grid[0], l.grid[1], l.grid[2]};
    unsigned long long blocks = 1ull * l.grid[0] * l.grid[1] * l.grid[2];
    for (unsigned long long i = 0; i < blocks; i++) {
        unsigned long long at = l.order == REVERSE ? blocks - 1 - i : i;
        b.index = {unsigned(at % l.grid[0]), unsigned(at / l.grid[0] % l.grid[1]), unsigned(at / (1ull * l.grid[0] * l.grid[1]))};
        if (const char* error = run_block(b, l)) return error;
    }
    return nullptr;
}

template <typename T> inline const T* gather(unsigned mask, const char* what, T mine) {
    return static_cast<const T*>(exchange(mask, what, &mine, sizeof mine));
}

}  // namespace fiber

// ---- what CUDA C++ has built in --------------------------------------------------------------------------------------------------------------

#define threadIdx (fiber::self().threads[fiber::self().current].index)
#define blockIdx (fiber::self().index)
#define blockDim (fiber::self().block)
#define gridDim (fiber::self().grid)

inline void __syncthreads() { fiber::barrier(0, 0); }
inline void __syncwarp(unsigned mask = 0xffffffffu) { fiber::gather(mask, "__syncwarp", 0); }
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __nanosleep(unsigned) { fiber::yield(); }

inline unsigned fiber_lane() { return fiber::self().current % 32; }
inline void fiber_in(unsigned mask, unsigned from, const char* what) {
    if (!(mask >> from & 1)) fiber::fail("%s reads lane %u, which the mask %08x leaves out", what, from, mask);
}
template <typename T> inline T __shfl_sync(unsigned mask, T x, int from, int width = 32) {
    unsigned lane = fiber_lane(), source = (lane & ~unsigned(width - 1)) | (unsigned(from) & unsigned(width - 1));
    const T* all = fiber::gather(mask, "__shfl_sync", x);
    fiber_in(mask, source, "__shfl_sync");
    return all[source];
}
template <typename T> inline T __shfl_xor_sync(unsigned mask, T x, int step, int width = 32) {
    unsigned source = fiber_lane() ^ unsigned(step);
    (void)width;
    const T* all = fiber::gather(mask, "__shfl_xor_sync", x);
    fiber_in(mask, source, "__shfl_xor_sync");
    return all[source];
}
template <typename T> inline T __shfl_down_sync(unsigned mask, T x, unsigned step, int width = 32) {
    unsigned lane = fiber_lane(), source = lane % unsigned(width) + step < unsigned(width) ? lane + step : lane;
    const T* all = fiber::gather(mask, "__shfl_down_sync", x);
    fiber_in(mask, source, "__shfl_down_sync");
    return all[source];
}
template <typename T> inline T __shfl_up_sync(unsigned mask, T x, unsigned step, int width = 32) {
    unsigned lane = fiber_lane(), source = lane % unsigned(width) >= step ? lane - step : lane;
    const T* all = fiber::gather(mask, "__shfl_up_sync", x);
    fiber_in(mask, source, "__shfl_up_sync");
    return all[source];
}
inline unsigned __ballot_sync(unsigned mask, int holds) {
    const int* all = fiber::gather(mask, "__ballot_sync", int(holds != 0));
    unsigned votes = 0;
    for (unsigned i = 0; i < 32; i++)
        if (mask >> i & 1) votes |= unsigned(all[i]) << i;
    return votes;
}
inline int __any_sync(unsigned mask, int holds) { return __ballot_sync(mask, holds) != 0; }
inline int __all_sync(unsigned mask, int holds) { return __ballot_sync(mask, holds) == mask; }

inline unsigned __float_as_uint(float x) { unsigned y; memcpy(&y, &x, 4); return y; }
inline float __uint_as_float(unsigned x) { float y; memcpy(&y, &x, 4); return y; }
inline int __float_as_int(float x) { return int(__float_as_uint(x)); }
inline float __int_as_float(int x) { return __uint_as_float(unsigned(x)); }
inline int __float2int_rn(float x) { return int(rintf(x)); }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __brev(unsigned x) {
    unsigned y = 0;
    for (int i = 0; i < 32; i++) y |= (x >> i & 1) << (31 - i);
    return y;
}
template <typename T> inline T __ldg(const T* x) { return *x; }

// Blocks run one after the other and a thread is interrupted only where it waits, so plain operations are atomic.
template <typename T> inline T atomicAdd(T* at, T x) { T old = *at; *at = old + x; return old; }
template <typename T> inline T atomicMax(T* at, T x) { T old = *at; if (x > old) *at = x; return old; }
template <typename T> inline T atomicMin(T* at, T x) { T old = *at; if (x < old) *at = x; return old; }
template <typename T> inline T atomicOr(T* at, T x) { T old = *at; *at = old | x; return old; }
template <typename T> inline T atomicExch(T* at, T x) { T old = *at; *at = x; return old; }
template <typename T> inline T atomicCAS(T* at, T expected, T x) { T old = *at; if (old == expected) *at = x; return old; }
template <typename A, typename B> inline auto min(A a, B b) -> decltype(a + b) { return a < b ? a : b; }
template <typename A, typename B> inline auto max(A a, B b) -> decltype(a + b) { return a < b ? b : a; }
