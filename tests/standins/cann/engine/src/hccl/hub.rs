//! Where the members of a group meet: a thread of the process that made the group, to which every member connects. One frame a call from each member, one answer to each.

use super::data::{self, Call};
use super::result;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How a member introduces itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The group's number, which no other group of this machine has.
    pub group: u64,
    /// Members of the group.
    pub size: u32,
    /// Place of this one.
    pub rank: u32,
}

/// More than any group here exchanges in one call.
const MOST: u64 = 1 << 30;

fn word<const N: usize>(from: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn bytes(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let len = u64::from_le_bytes(word(from)?);
    if len > MOST {
        return Err(io::Error::other(format!("a frame of {len} bytes")));
    }
    let mut all = vec![0; len as usize];
    from.read_exact(&mut all)?;
    Ok(all)
}

/// Sends a code and bytes.
pub fn answer(to: &mut TcpStream, code: i32, payload: &[u8]) -> io::Result<()> {
    to.write_all(&code.to_le_bytes())?;
    to.write_all(&(payload.len() as u64).to_le_bytes())?;
    to.write_all(payload)
}

/// Receives what [`answer`] sent.
pub fn answered(from: &mut TcpStream) -> io::Result<(i32, Vec<u8>)> {
    Ok((i32::from_le_bytes(word(from)?), bytes(from)?))
}

/// Introduces a member.
pub fn greet(to: &mut TcpStream, hello: Hello) -> io::Result<()> {
    to.write_all(&hello.group.to_le_bytes())?;
    to.write_all(&hello.size.to_le_bytes())?;
    to.write_all(&hello.rank.to_le_bytes())
}

/// Sends a call.
pub fn send(to: &mut TcpStream, call: Call, payload: &[u8]) -> io::Result<()> {
    to.write_all(&call.bytes())?;
    to.write_all(&(payload.len() as u64).to_le_bytes())?;
    to.write_all(payload)
}

/// What a member's reader hears: a call, or `None` when the member has gone.
type Heard = (usize, Option<(Call, Vec<u8>)>);

/// Serves one group until all of its members have gone.
pub fn serve(listener: &TcpListener, group: u64, limit: Duration) {
    let Some(mut members) = gather(listener, group) else { return };
    let (sender, heard) = channel();
    for (rank, member) in members.iter().enumerate() {
        let Ok(mut from) = member.try_clone() else { return };
        let sender: Sender<Heard> = sender.clone();
        std::thread::spawn(move || {
            let mut next = || Ok::<_, io::Error>((Call::of(word(&mut from)?), bytes(&mut from)?));
            while let Ok(call) = next() {
                if sender.send((rank, Some(call))).is_err() {
                    return;
                }
            }
            _ = sender.send((rank, None));
        });
    }
    drop(sender);
    members.iter_mut().for_each(|member| _ = answer(member, result::SUCCESS, &[]));
    rounds(&mut members, &heard, limit);
}

/// Waits until every member has come. Members that fit nowhere are told so.
fn gather(listener: &TcpListener, group: u64) -> Option<Vec<TcpStream>> {
    let mut places: Vec<Option<TcpStream>> = Vec::new();
    while places.is_empty() || places.iter().any(Option::is_none) {
        let (mut member, _) = listener.accept().ok()?;
        let mut read =
            || Ok::<_, io::Error>((word::<8>(&mut member)?, word::<4>(&mut member)?, word::<4>(&mut member)?));
        let Ok((number, size, rank)) = read() else { continue };
        let (size, rank) = (u32::from_le_bytes(size) as usize, u32::from_le_bytes(rank) as usize);
        if places.is_empty() {
            places.resize_with(size, || None);
        }
        let fits = u64::from_le_bytes(number) == group && size == places.len();
        match places.get_mut(rank).filter(|place| fits && place.is_none()) {
            Some(place) => *place = Some(member),
            None => _ = answer(&mut member, result::PARA, &[]),
        }
    }
    places.into_iter().collect()
}

/// Answers calls, each once all members have made it.
fn rounds(members: &mut [TcpStream], heard: &Receiver<Heard>, limit: Duration) {
    let size = members.len();
    let (mut waiting, mut broken, mut round) = (vec![None; size], result::SUCCESS, 0);
    let mut since = Instant::now();
    loop {
        let open = waiting.iter().any(Option::is_some);
        let patience = if open { limit.saturating_sub(since.elapsed()) } else { Duration::from_secs(3600) };
        match heard.recv_timeout(patience) {
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) if open => broken = result::TIMEOUT,
            Err(RecvTimeoutError::Timeout) => continue,
            Ok((_, None)) => broken = result::REMOTE,
            Ok((rank, Some(call))) => {
                since = if open { since } else { Instant::now() };
                waiting[rank] = Some(call);
            }
        }
        if broken != result::SUCCESS {
            for (member, call) in members.iter_mut().zip(&mut waiting) {
                if call.take().is_some() {
                    _ = answer(member, broken, &[]);
                }
            }
        } else if waiting.iter().all(Option::is_some) {
            let calls: Vec<(Call, Vec<u8>)> = waiting.iter_mut().filter_map(Option::take).collect();
            match data::exchange(&calls, round) {
                Some(results) => {
                    members.iter_mut().zip(&results).for_each(|(to, bytes)| _ = answer(to, result::SUCCESS, bytes));
                }
                None => {
                    broken = result::PARA;
                    members.iter_mut().for_each(|to| _ = answer(to, broken, &[]));
                }
            }
            round += 1;
        }
    }
}
