//! Dense products by cuBLASLt, over the stand-ins for driver and library.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod stand_in;

use omnihal::op::ActQuant;
use omnihal::op::gemm::Linear;
use omnihal::{Args, DType, Device, Mem, MemoryKind, Plan, Stream, View, WeightFormat};
use stand_in::StandIn;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);
const ROWS: usize = 20;
const INNER: usize = 64;
const OUTER: usize = 24;

/// Puts the stand-in for cuBLASLt beside the driver, and asks for it.
fn stage() -> (StandIn, libloading::Library) {
    let driver = StandIn::stage(&["gemm"]);
    let folder = std::env::var_os("LD_LIBRARY_PATH").unwrap();
    let path = Path::new(&folder).join("libcublasLt.so.13");
    std::fs::copy(std::env::current_exe().unwrap().with_file_name("libfake_cublaslt.so"), &path).unwrap();
    // SAFETY: the test has started no thread yet.
    unsafe { std::env::set_var("OMNIHAL_CUDA_GEMM", "cublaslt") };
    // SAFETY: the stand-in has no constructors.
    (driver, unsafe { libloading::Library::new(path) }.unwrap())
}

/// Objects that live, and products enqueued.
fn counts(library: &libloading::Library) -> [u64; 2] {
    let mut counts = [0; 2];
    // SAFETY: the stand-in's own function.
    unsafe { library.get::<unsafe extern "C" fn(*mut [u64; 2])>("fake_cublaslt_counts").unwrap()(&mut counts) };
    counts
}

/// Whole numbers that bf16 holds: every sum is exact.
fn whole(i: usize) -> f32 {
    (i * 7 % 13) as f32 - 6.0
}

fn bf16(count: usize) -> Vec<u8> {
    (0..count).flat_map(|i| ((whole(i).to_bits() >> 16) as u16).to_le_bytes()).collect()
}

fn expected() -> Vec<f32> {
    let product = |t: usize, o: usize| (0..INNER).map(|k| whole(t * INNER + k) * whole(o * INNER + k)).sum();
    (0..ROWS * OUTER).map(|i| product(i / OUTER, i % OUTER)).collect()
}

fn linear(rows: usize) -> Linear {
    let (input, weight) = (DType::BF16, WeightFormat::Plain(DType::BF16));
    let (a_quant, output, accumulate) = (ActQuant::None, DType::F32, true);
    Linear { rows, inner: INNER, outer: OUTER, input, weight, a_quant, output, accumulate }
}

fn floats(stream: &dyn Stream, mem: Mem) -> Vec<f32> {
    let mut bytes = vec![0; mem.len];
    // SAFETY: the memory is alive.
    unsafe { stream.read(mem, &mut bytes, LIMIT).unwrap() };
    bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

struct Bench {
    buffers: [omnihal::Buffer; 4],
    views: [Option<View>; 3],
}

impl Bench {
    fn new(device: &dyn Device, stream: &dyn Stream, plan: &dyn Plan) -> Bench {
        let alloc = |bytes| device.alloc(bytes, MemoryKind::Device).unwrap();
        let sizes = [2 * ROWS * INNER, 2 * OUTER * INNER, 4 * ROWS * OUTER, plan.workspace()];
        let buffers = sizes.map(alloc);
        let view = |i: usize, dtype, shape| Some(View::contiguous(buffers[i].mem(), dtype, shape).unwrap());
        let views = [
            view(0, DType::BF16, [ROWS, INNER]),
            view(1, DType::BF16, [OUTER, INNER]),
            view(2, DType::F32, [ROWS, OUTER]),
        ];
        // SAFETY: the buffers outlive the stream.
        unsafe {
            stream.write(buffers[0].mem(), &bf16(ROWS * INNER)).unwrap();
            stream.write(buffers[1].mem(), &bf16(OUTER * INNER)).unwrap();
            stream.fill(buffers[2].mem(), 0).unwrap();
        }
        Bench { buffers, views }
    }

    fn args(&self) -> Args<'_> {
        Args { workspace: self.buffers[3].mem(), ..Args::new(&self.views) }
    }
}

#[test]
fn whole_products_go_to_the_library_and_into_graphs_and_others_to_the_kernels() {
    let (driver, library) = stage();
    {
        let device = driver.open();
        let (plan, stream) = (device.plan(&linear(ROWS).into()).unwrap(), device.stream().unwrap());
        let bench = Bench::new(&*device, &*stream, &*plan);
        assert_eq!(plan.workspace(), (4 * ROWS * OUTER).next_multiple_of(256), "what the library asks for");
        // SAFETY: the buffers outlive the stream; the views are the operator's.
        let run = |args: &Args<'_>| unsafe { stream.run(&*plan, args).unwrap() };
        let times = |n: f32| expected().iter().map(|x| n * x).collect::<Vec<_>>();
        let result = || floats(&*stream, bench.buffers[2].mem());

        run(&bench.args());
        assert_eq!((result(), counts(&library)[1]), (times(1.0), 1));
        // A hint changes no bit of the rows that matter: the library takes all of them.
        run(&Args { rows_hint: ROWS - 1, ..bench.args() });
        assert_eq!((&result()[..OUTER], counts(&library)[1]), (&times(2.0)[..OUTER], 2));
        // Rows with gaps between them are the kernels'.
        let gaps = View { strides: [0, 1, 0, 0, 0, 0], ..bench.views[0].unwrap() };
        let views = [Some(gaps), bench.views[1], bench.views[2]];
        run(&Args { views: &views, ..bench.args() });
        assert_eq!((&result()[..OUTER], counts(&library)[1]), (&times(3.0)[..OUTER], 2));

        // SAFETY: as above.
        unsafe { stream.fill(bench.buffers[2].mem(), 0).unwrap() };
        stream.begin_capture().unwrap();
        run(&bench.args());
        let graph = stream.end_capture().unwrap();
        assert_eq!((graph.nodes(), counts(&library)[1]), (1, 3));
        for _ in 0..3 {
            // SAFETY: as above.
            unsafe { stream.launch(&*graph).unwrap() };
        }
        assert_eq!((result(), counts(&library)[1]), (times(3.0), 3));

        let short = Args { workspace: Mem { len: 0, ..bench.buffers[3].mem() }, ..bench.args() };
        // SAFETY: as above.
        let refused = unsafe { stream.run(&*plan, &short) }.err().unwrap();
        assert!(refused.to_string().contains("workspace"), "{refused}");
    }
    assert_eq!((driver.live(), counts(&library)[0]), ([0; 5], 0), "what lives in the driver and in the library");
}
