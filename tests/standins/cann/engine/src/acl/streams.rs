//! Streams and events.

use super::{calls, give};
use crate::abi::constants::*;
use crate::abi::types::*;
use crate::books::{Lost, MOST_EVENTS, MOST_STREAMS, books, current, handle, number};
use crate::fault::{Answer, broken, code, refuse};
use crate::stream::{Event, Stream, Task, Work};
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

fn find(stream: aclrtStream) -> Answer<Arc<Stream>> {
    books().stream(stream.0 as u64)
}

fn make(stream: *mut aclrtStream) -> Answer {
    let most = number("FAKE_CANN_STREAMS", MOST_STREAMS as u64) as usize;
    let mut books = books();
    // A captured graph takes a stream as well.
    if books.streams.len() + books.graphs.len() >= most {
        return refuse(code::STREAM_RESOURCE, "no stream left");
    }
    let made = handle();
    books.streams.insert(made, Arc::new(Stream::new(current(), false)));
    drop(books);
    give(stream, aclrtStream(made as *mut c_void))
}

fn limit(milliseconds: i32) -> Option<Duration> {
    u64::try_from(milliseconds).ok().map(Duration::from_millis)
}

fn sync(stream: aclrtStream, limit: Option<Duration>) -> Answer {
    let stream = find(stream)?;
    stream.outside_capture("a wait")?;
    match stream.wait(limit) {
        true => Lost::cause().map_or(Ok(()), Err),
        false => refuse(code::STREAM_TIMEOUT, "the wait for the stream ran out"),
    }
}

fn sync_event(event: aclrtEvent, limit: Option<Duration>) -> Answer {
    let (event, _) = books().event(event.0 as u64)?;
    if event.is_captured() {
        return broken("capture", code::EVENT_CAPTURED, "a wait for an event that was last recorded in a capture");
    }
    match event.wait(limit) {
        true => Lost::cause().map_or(Ok(()), Err),
        false => refuse(code::EVENT_TIMEOUT, "the wait for the event ran out"),
    }
}

fn make_event(event: *mut aclrtEvent, flags: u32) -> Answer {
    let mut books = books();
    if books.events.len() >= MOST_EVENTS {
        return refuse(207007, "no event left");
    }
    let made = handle();
    books.events.insert(made, (Arc::new(Event::new(flags)), current()));
    drop(books);
    give(event, aclrtEvent(made as *mut c_void))
}

fn destroy(stream: aclrtStream) -> Answer {
    let found = find(stream)?;
    if found.default {
        return broken("handles", code::HANDLE, "the default stream cannot be destroyed");
    }
    if !found.idle() && Lost::cause().is_none() {
        return broken("stream in use", code::PARAM, "a stream was destroyed before it was waited for");
    }
    books().streams.remove(&(stream.0 as u64));
    Ok(())
}

calls! {
    /// Makes a stream.
    fn aclrtCreateStream(stream: *mut aclrtStream) {
        make(stream)
    }

    /// Makes a stream.
    fn aclrtCreateStreamWithConfig(stream: *mut aclrtStream, _priority: u32, _flag: u32) {
        make(stream)
    }

    /// Forgets a stream, which must be idle.
    fn aclrtDestroyStream(stream: aclrtStream) {
        destroy(stream)
    }

    /// As the other one.
    fn aclrtDestroyStreamForce(stream: aclrtStream) {
        destroy(stream)
    }

    /// Waits for a stream.
    fn aclrtSynchronizeStream(stream: aclrtStream) {
        sync(stream, None)
    }

    /// Waits for a stream, at most so many milliseconds.
    fn aclrtSynchronizeStreamWithTimeout(stream: aclrtStream, timeout: i32) {
        sync(stream, limit(timeout))
    }

    /// Says whether a stream is idle.
    fn aclrtStreamQuery(stream: aclrtStream, status: *mut aclrtStreamStatus) {
        let stream = find(stream)?;
        stream.outside_capture("a query")?;
        let idle = stream.idle();
        Lost::cause().map_or(Ok(()), Err)?;
        give(status, if idle { aclrtStreamStatus::ACL_STREAM_STATUS_COMPLETE } else { aclrtStreamStatus::ACL_STREAM_STATUS_NOT_READY })
    }

    /// What happens after a failed task; once only.
    fn aclrtSetStreamFailureMode(stream: aclrtStream, mode: u64) {
        let stream = find(stream)?;
        match stream.stops.swap(mode == ACL_STOP_ON_FAILURE, Relaxed) {
            false => Ok(()),
            true => broken("failure mode", code::PARAM, "the failure mode can be set once"),
        }
    }

    /// Streams that can still be made.
    fn aclrtGetStreamAvailableNum(count: *mut u32) {
        let books = books();
        let most = number("FAKE_CANN_STREAMS", MOST_STREAMS as u64) as usize;
        let left = most.saturating_sub(books.streams.len() + books.graphs.len());
        drop(books);
        give(count, left as u32)
    }

    /// A stream's number.
    fn aclrtStreamGetId(stream: aclrtStream, id: *mut i32) {
        find(stream)?;
        give(id, (stream.0 as usize >> 4) as i32)
    }

    /// Calls a function of the host in the stream's order.
    fn aclrtLaunchHostFunc(stream: aclrtStream, function: aclrtHostFunc, args: *mut c_void) {
        let Some(function) = function else { return broken("null", code::PARAM, "no function") };
        let args = args as usize;
        // SAFETY: the caller keeps the arguments alive until the function has run.
        let action = Box::new(move || { unsafe { function(args as *mut c_void) }; Ok(()) });
        find(stream)?.push(Task::Run(Arc::new(Work { name: "host function".to_owned(), blocks: Vec::new(), action })))
    }

    /// Makes an event.
    fn aclrtCreateEventExWithFlag(event: *mut aclrtEvent, flag: u32) {
        make_event(event, flag)
    }

    /// Makes an event.
    fn aclrtCreateEventWithFlag(event: *mut aclrtEvent, flag: u32) {
        make_event(event, flag)
    }

    /// Forgets an event; work that names it goes on.
    fn aclrtDestroyEvent(event: aclrtEvent) {
        let mut books = books();
        books.event(event.0 as u64)?;
        books.events.remove(&(event.0 as u64));
        Ok(())
    }

    /// Marks the end of a stream. In a capture only an external event makes a task of it.
    fn aclrtRecordEvent(event: aclrtEvent, stream: aclrtStream) {
        let stream = find(stream)?;
        let (event, context) = books().event(event.0 as u64)?;
        if context != stream.context { return broken("contexts", code::STREAM_CONTEXT, "an event of another context") }
        match (stream.is_capturing(), event.flags & ACL_EVENT_EXTERNAL != 0) {
            (false, _) => {
                let mark = event.mark();
                stream.push(Task::Record(event, mark))
            }
            (true, true) => stream.push(Task::RecordNow(event)),
            (true, false) => { event.captured(); Ok(()) }
        }
    }

    /// Makes a stream wait.
    fn aclrtStreamWaitEvent(stream: aclrtStream, event: aclrtEvent) {
        let stream = find(stream)?;
        let (event, context) = books().event(event.0 as u64)?;
        if context != stream.context { return broken("contexts", code::STREAM_CONTEXT, "an event of another context") }
        if event.flags & (ACL_EVENT_SYNC | ACL_EVENT_EXTERNAL) == 0 {
            return broken("event flags", code::PARAM, "a stream waits for an event that was made without the flag SYNC");
        }
        match (stream.is_capturing(), event.flags & ACL_EVENT_EXTERNAL != 0) {
            (false, _) if event.is_captured() => broken("capture", code::CAPTURE_DEPENDENCY, "a wait for an event of a capture"),
            (false, _) => {
                let mark = event.newest();
                stream.push(Task::Wait(event, mark))
            }
            (true, true) => stream.push(Task::WaitNow(event)),
            (true, false) if event.is_captured() => Ok(()),
            (true, false) => {
                stream.spoil();
                broken("capture", code::CAPTURE_DEPENDENCY, "a captured stream waits for an event from outside")
            }
        }
    }

    /// Says whether an event has passed.
    fn aclrtQueryEventStatus(event: aclrtEvent, status: *mut aclrtEventRecordedStatus) {
        let (event, _) = books().event(event.0 as u64)?;
        if event.is_captured() { return broken("capture", code::EVENT_CAPTURED, "a query of an event of a capture") }
        let done = event.done();
        Lost::cause().map_or(Ok(()), Err)?;
        give(status, if done { aclrtEventRecordedStatus::ACL_EVENT_RECORDED_STATUS_COMPLETE } else { aclrtEventRecordedStatus::ACL_EVENT_RECORDED_STATUS_NOT_READY })
    }

    /// Waits for an event.
    fn aclrtSynchronizeEvent(event: aclrtEvent) {
        sync_event(event, None)
    }

    /// Waits for an event, at most so many milliseconds.
    fn aclrtSynchronizeEventWithTimeout(event: aclrtEvent, timeout: i32) {
        sync_event(event, limit(timeout))
    }

    /// Times are kept by events that were made for it; this stand-in keeps none.
    fn aclrtEventElapsedTime(_ms: *mut f32, start: aclrtEvent, end: aclrtEvent) {
        for event in [start, end] {
            if books().event(event.0 as u64)?.0.flags & ACL_EVENT_TIME_LINE == 0 {
                return broken("event flags", 107006, "a time is asked of an event that was made without the flag TIME_LINE");
            }
        }
        refuse(code::UNSUPPORTED, "the stand-in keeps no times")
    }
}
