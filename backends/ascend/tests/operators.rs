//! Operators over the stand-ins: results, books, refusals at any call.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod stand_in;

use omnihal::op::norm;
use omnihal::{DType, Op, Severity, Shape};
use stand_in::{StandIn, run};

const NO_MEMORY: i32 = 207_001;
const REFUSED: i32 = 161_002;

/// Type, shape and, of an input, values.
type Tensor = (DType, Shape, Option<Vec<f32>>);

fn norm() -> (Op, Vec<Tensor>) {
    let op = norm::Rms {
        rows: 2,
        heads: 1,
        width: 4,
        eps: 0.0,
        weight: Some(DType::F32),
        input: DType::F32,
        output: DType::F32,
    };
    let x = vec![3.0, -3.0, 3.0, -3.0, 0.0, 0.0, 0.0, 2.0];
    let args = vec![
        (DType::F32, Shape::from([2, 1, 4]), Some(x)),
        (DType::F32, Shape::from([4]), Some(vec![1.0, 2.0, 3.0, 4.0])),
        (DType::F32, Shape::from([2, 1, 4]), None),
    ];
    (op.into(), args)
}

#[test]
fn operators_compute_leave_nothing_behind_and_pass_refusals_on() {
    let cann = StandIn::stage("Ascend910B2");
    {
        let device = cann.open();
        let stream = device.stream().unwrap();
        let (op, args) = norm();
        let expected = [1.0, -2.0, 3.0, -4.0, 0.0, 0.0, 0.0, 8.0];
        assert_eq!(run(&*device, &*stream, &op, &args).unwrap(), [expected.to_vec()]);
        assert_eq!(cann.calls("aclnnRmsNorm"), 1);

        for (call, code) in
            [("aclnnRmsNormGetWorkspaceSize", REFUSED), ("aclnnRmsNorm", REFUSED), ("aclCreateTensor", NO_MEMORY)]
        {
            cann.fail(call, 0, code);
            let error = run(&*device, &*stream, &op, &args).unwrap_err();
            assert_eq!(error.severity(), Severity::Rejected, "{call}: {error}");
        }
        // A refusal leaves device and stream as they were.
        assert_eq!(run(&*device, &*stream, &op, &args).unwrap(), [expected.to_vec()]);
    }
    assert_eq!(
        cann.live(),
        [0; 8],
        "streams, events, graphs, device blocks, pinned blocks, tensors, other objects, executors"
    );
    assert_eq!(cann.broken(), "");
}
