//! What kernels may use of shared memory, over the stand-in driver.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod stand_in;

use omnihal::op::ActQuant;
use omnihal::op::gemm::Linear;
use omnihal::{Args, DType, MemoryKind, View, WeightFormat};
use stand_in::StandIn;
use std::time::Duration;

#[test]
fn a_later_plan_takes_no_shared_memory_from_an_earlier_one_of_the_same_kernel() {
    let driver = StandIn::stage(&["gemm"]);
    let device = driver.open();
    let linear = |rows, inner| Linear {
        rows,
        inner,
        outer: 16,
        input: DType::BF16,
        weight: WeightFormat::Plain(DType::BF16),
        a_quant: ActQuant::None,
        output: DType::F32,
        accumulate: false,
    };
    let larger = device.plan(&linear(8, 4096).into()).unwrap();
    let smaller = device.plan(&linear(1, 256).into()).unwrap();
    drop(smaller);
    let stream = device.stream().unwrap();
    let shapes = [(DType::BF16, [8, 4096]), (DType::BF16, [16, 4096]), (DType::F32, [8, 16])];
    let buffers = shapes.map(|(d, [a, b])| device.alloc(a * b * d.bits() / 8, MemoryKind::Device).unwrap());
    let views =
        std::array::from_fn::<_, 3, _>(|i| Some(View::contiguous(buffers[i].mem(), shapes[i].0, shapes[i].1).unwrap()));
    // SAFETY: the buffers outlive the stream; the views are the operator's.
    unsafe {
        buffers.iter().for_each(|b| stream.fill(b.mem(), 0).unwrap());
        stream.run(&*larger, &Args::new(&views)).unwrap();
    }
    stream.sync(Duration::from_secs(20)).unwrap();
}
