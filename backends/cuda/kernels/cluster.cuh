// Clusters of eight blocks that read each other's shared memory (sm_90). On the host a cluster is one block of eight times the threads, so that the fibres of all its blocks
// take turns; `threads` of the kernel are those of one block of the cluster, and at most 128.
#pragma once
#include "common.cuh"

constexpr u32 CLUSTER = 8;

#ifdef __CUDACC__
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define HAS_CLUSTERS 1
#endif
#define CLUSTER_KERNEL(name, Params, threads, blocks) \
    extern "C" __global__ void __cluster_dims__(8, 1, 1) __launch_bounds__(threads, blocks) name(const __grid_constant__ Params p)
#define CLUSTER_SHARED(T, name) __shared__ T name
#else
#define HAS_CLUSTERS 1
#define CLUSTER_KERNEL(name, Params, threads, blocks)                                                                  \
    static void name##_body(const Params& p);                                                                          \
    extern "C" unsigned name##_params() { return sizeof(Params); }                                                     \
    extern "C" const char* name##_host(const fiber::Launch* launch, const void* params) {                              \
        fiber::Launch whole = *launch;                                                                                 \
        whole.grid[0] /= CLUSTER, whole.block[0] *= CLUSTER;                                                           \
        return fiber::run(whole, threads * CLUSTER, [](const void* q) { name##_body(*static_cast<const Params*>(q)); }, params); \
    }                                                                                                                  \
    static void name##_body(const Params& p)
#define CLUSTER_SHARED(T, name)             \
    static thread_local T name##_all[CLUSTER]; \
    T& name = name##_all[cluster_rank()]
#endif

#ifdef HAS_CLUSTERS

// Number of a cluster in the grid.
DEVICE u32 cluster_index() {
#ifdef __CUDACC__
    return blockIdx.x / CLUSTER;
#else
    return blockIdx.x;
#endif
}

// Number of the block in its cluster.
DEVICE u32 cluster_rank() {
#ifdef __CUDACC__
    return blockIdx.x % CLUSTER;
#else
    return threadIdx.x / (blockDim.x / CLUSTER);
#endif
}

// Number of the thread in its block.
DEVICE u32 cluster_thread() {
#ifdef __CUDACC__
    return threadIdx.x;
#else
    return threadIdx.x % (blockDim.x / CLUSTER);
#endif
}

// A barrier of one block.
DEVICE void block_barrier() {
#ifdef __CUDACC__
    __syncthreads();
#else
    fiber::barrier(1 + cluster_rank(), blockDim.x / CLUSTER);
#endif
}

// The two halves of a barrier of the whole cluster. What a thread wrote before it arrived, others read after they have waited.
DEVICE void cluster_arrive() {
#ifdef __CUDACC__
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
#endif
}

DEVICE void cluster_wait() {
#ifdef __CUDACC__
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#else
    fiber::barrier(0, 0);
#endif
}

DEVICE void cluster_barrier() {
    cluster_arrive();
    cluster_wait();
}

// Reads in block `rank` what lies where `at` lies in this block. `Shared` is the type of the CLUSTER_SHARED that holds it.
template <typename Shared> DEVICE float cluster_load(const float* at, u32 rank) {
#ifdef __CUDACC__
    float value;
    u32 own = static_cast<u32>(__cvta_generic_to_shared(at)), other;
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(other) : "r"(own), "r"(rank));
    asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(value) : "r"(other) : "memory");
    return value;
#else
    return *reinterpret_cast<const float*>(reinterpret_cast<const char*>(at) + (static_cast<i64>(rank) - cluster_rank()) * static_cast<i64>(sizeof(Shared)));
#endif
}

#endif
