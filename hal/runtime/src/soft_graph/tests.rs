use super::*;
use crate::layers::testing::{Rig, Wishes, device, linear, tensor};
use omnihal::DType;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(1);

#[test]
fn captured_calls_are_made_at_each_launch_in_order_and_not_before() {
    let rig = Rig::new(Wishes::default());
    let device = with_graphs(rig.clone());
    let (stream, event) = (device.stream().unwrap(), device.event().unwrap());
    let plan = device.plan(&linear()).unwrap();
    let [(_a, a), (_b, b)] = [(); 2].map(|()| tensor(&*device, DType::F32, &[4]));
    stream.begin_capture().unwrap();
    // SAFETY: the rig reads no argument; both buffers outlive the launches.
    unsafe {
        stream.fill(a.mem, 7).unwrap();
        stream.run(&*plan, &Args { rows_hint: 3, ..Args::new(&[Some(a), None]) }).unwrap();
        stream.copy(b.mem, a.mem).unwrap();
    }
    stream.record(&*event).unwrap();
    stream.wait(&*event).unwrap();
    let graph = stream.end_capture().unwrap();
    assert_eq!((graph.nodes(), rig.seen()), (5, vec![]));
    // The graph owns its plan.
    drop(plan);
    let expected = ["fill 16 7", "run gemm.linear 2 3", "copy", "record", "wait"];
    for _ in 0..2 {
        // SAFETY: as above.
        unsafe { stream.launch(&*graph) }.unwrap();
        assert_eq!(rig.seen(), expected);
    }
    let mut bytes = [0; 16];
    // SAFETY: the buffer is alive.
    unsafe { stream.read(b.mem, &mut bytes, WAIT) }.unwrap();
    assert_eq!(bytes, [7; 16]);
}

#[test]
fn a_capture_refuses_what_it_cannot_hold_and_goes_on() {
    let rig = Rig::new(Wishes { unsafe_to_capture: true, ..Wishes::default() });
    let device = with_graphs(rig.clone());
    let stream = device.stream().unwrap();
    assert_eq!(stream.end_capture().err().unwrap().kind(), ErrorKind::InvalidState);
    let plan = device.plan(&linear()).unwrap();
    stream.begin_capture().unwrap();
    // SAFETY: the rig reads no argument.
    let refused = [
        unsafe { stream.run(&*plan, &Args::new(&[])) }.unwrap_err(),
        stream.begin_capture().unwrap_err(),
        stream.sync(WAIT).unwrap_err(),
        stream.poll().unwrap_err(),
    ];
    assert!(refused.iter().all(|e| e.kind() == ErrorKind::InvalidState), "{refused:?}");
    assert_eq!(stream.end_capture().unwrap().nodes(), 0);
    stream.sync(WAIT).unwrap();
    assert_eq!(rig.seen(), ["sync"]);
}

#[test]
fn a_device_that_captures_itself_is_left_alone() {
    let native = device();
    assert!(Arc::ptr_eq(&native, &with_graphs(Arc::clone(&native))));
}

#[test]
fn a_graph_of_another_device_is_refused() {
    let native = device().stream().unwrap();
    native.begin_capture().unwrap();
    let graph = native.end_capture().unwrap();
    let stream = with_graphs(Rig::new(Wishes::default())).stream().unwrap();
    // SAFETY: the graph is empty.
    assert_eq!(unsafe { stream.launch(&*graph) }.unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_graph_built_by_hand_stops_at_its_first_error() {
    let rig = Rig::new(Wishes::default());
    let stream = rig.stream().unwrap();
    let run = |plan| Node::Run { plan, views: Box::new([None]), workspace: Mem::default(), rows_hint: 1 };
    let nodes = vec![
        run(rig.plan(&linear()).unwrap()),
        run(device().plan(&linear()).unwrap()),
        Node::Wait(Arc::from(rig.event().unwrap())),
    ];
    // SAFETY: the rig reads no argument.
    let error = unsafe { SoftGraph::new(nodes).enqueue(&*stream) }.unwrap_err();
    assert_eq!(error.message(), "not a plan of this device");
    assert_eq!(rig.seen(), ["run gemm.linear 1 1"]);
}
