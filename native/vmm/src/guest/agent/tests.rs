// SPDX-License-Identifier: Apache-2.0
use lightvm_protocol::agent::{Empty, Ping};
use lightvm_protocol::prost::Message;

use super::super::link::fake::FakeLink;
use super::*;

const CONNECTION: ConnectionId = ConnectionId(4);
const CALLER: Caller = Caller {
    connection: Token(20),
    id: 77,
};

fn ping() -> HostMessage {
    HostMessage {
        id: 1234,
        call: Some(Call::Ping(Ping {})),
    }
}

fn hello() -> Hello {
    Hello {
        protocol_version: 1,
        agent_version: "0".into(),
        ..Hello::default()
    }
}

struct Peer {
    agent: Agent,
    guest: FakeLink,
    events: Vec<AgentEvent>,
}

impl Peer {
    fn new() -> Self {
        let mut peer = Self {
            agent: Agent::default(),
            guest: FakeLink::default(),
            events: Vec::new(),
        };
        peer.agent.opened(CONNECTION, &mut peer.guest);
        peer
    }

    fn greeted() -> Self {
        let mut peer = Self::new();
        assert_eq!(
            peer.say(0, Body::Hello(hello())),
            [AgentEvent::Ready(hello())]
        );
        peer
    }

    fn say_bytes(&mut self, bytes: &[u8]) -> Vec<AgentEvent> {
        self.guest.pipe(CONNECTION).to_host.extend_from_slice(bytes);
        self.agent.receive(&mut self.guest, &mut self.events);
        assert!(self.guest.pipe(CONNECTION).to_host.is_empty());
        std::mem::take(&mut self.events)
    }

    fn say(&mut self, id: u64, body: Body) -> Vec<AgentEvent> {
        let mut frame = Vec::new();
        encode_frame(
            &AgentMessage {
                id,
                body: Some(body),
            },
            &mut frame,
        )
        .unwrap();
        self.say_bytes(&frame)
    }

    fn call(&mut self, timeout: u32) -> Result<(), Refusal> {
        self.agent.call(CALLER, ping(), timeout, &mut self.guest)
    }

    fn heard(&mut self) -> Vec<HostMessage> {
        let mut decoder = FrameDecoder::new();
        decoder.push(&self.guest.pipe(CONNECTION).to_guest);
        std::iter::from_fn(|| decoder.next_message().unwrap()).collect()
    }
}

fn lost(events: &[AgentEvent]) -> bool {
    matches!(events.last(), Some(AgentEvent::Lost(_)))
}

#[test]
fn a_reply_finds_its_caller() {
    let mut peer = Peer::greeted();
    peer.call(0).unwrap();
    let sent = peer.heard();
    assert_eq!(sent, [HostMessage { id: 1, ..ping() }]);
    let reply = AgentMessage {
        id: 1,
        body: Some(Body::Done(Empty {})),
    };
    let call = Call::Ping(Ping {});
    let expected = AgentEvent::Reply(CALLER, call, Ok(reply));
    assert_eq!(peer.say(1, Body::Done(Empty {})), [expected]);
    // A second reply to the same call comes too late and is dropped.
    assert_eq!(peer.say(1, Body::Done(Empty {})), []);
}

#[test]
fn nobody_is_called_before_the_hello() {
    let mut peer = Peer::new();
    assert_eq!(peer.call(0).unwrap_err().code(), Code::AgentUnreachable);
    assert_eq!(
        peer.agent
            .call(CALLER, HostMessage::default(), 0, &mut peer.guest)
            .unwrap_err()
            .code(),
        Code::Invalid
    );
}

#[test]
fn a_call_without_answer_runs_out_of_time() {
    let mut peer = Peer::greeted();
    peer.call(20).unwrap();
    peer.call(0).unwrap();
    let deadline = peer.agent.next_deadline().unwrap();
    let mut events = Vec::new();
    peer.agent
        .expire(deadline - Duration::from_nanos(1), &mut events);
    assert_eq!(events, []);
    peer.agent.expire(deadline, &mut events);
    let [AgentEvent::Reply(CALLER, _, Err(refusal))] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(refusal.message(), "the agent did not answer within 20 ms");
    assert!(peer.agent.next_deadline().unwrap() > deadline);
}

#[test]
fn calls_wait_for_room_and_stay_in_order() {
    let mut peer = Peer::greeted();
    peer.guest.pipe(CONNECTION).room = Some(5);
    peer.call(0).unwrap();
    peer.call(0).unwrap();
    assert_eq!(peer.guest.pipe(CONNECTION).to_guest.len(), 5);
    peer.guest.pipe(CONNECTION).room = None;
    peer.agent.flush(&mut peer.guest);
    assert_eq!(
        peer.heard()
            .iter()
            .map(|message| message.id)
            .collect::<Vec<_>>(),
        [1, 2]
    );
}

#[test]
fn what_breaks_the_protocol_ends_the_connection() {
    let exited = || Body::Exited(ProcessExited::default());
    let mut early = Peer::new();
    assert_eq!(early.say(0, exited()), []);
    assert!(early.guest.pipe(CONNECTION).reset);

    assert!(lost(&Peer::greeted().say(0, Body::Hello(hello()))));
    assert!(lost(&Peer::greeted().say(5, Body::Done(Empty {}))));
    assert!(lost(&Peer::greeted().say(0, Body::Done(Empty {}))));
    assert!(lost(&Peer::greeted().say(1, exited())));
    assert!(lost(&Peer::greeted().say_bytes(&[0xff; 8])));
    assert!(lost(&Peer::greeted().say_bytes(&[2, 0, 0, 0, 0xff, 0xff])));
    assert!(lost(&Peer::greeted().say_bytes(&[0, 0, 0, 0])));
}

#[test]
fn a_lost_agent_fails_its_calls() {
    let mut peer = Peer::greeted();
    peer.call(0).unwrap();
    let mut events = Vec::new();
    peer.agent.give_up("gone", &mut peer.guest, &mut events);
    let [
        AgentEvent::Reply(CALLER, _, Err(refusal)),
        AgentEvent::Lost(reason),
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((refusal.message(), reason.as_str()), ("gone", "gone"));
    assert!(!peer.agent.owns(CONNECTION));
    // There is one control connection in a guest's life.
    peer.agent.opened(ConnectionId(9), &mut peer.guest);
    assert!(peer.guest.pipe(ConnectionId(9)).reset);
}

#[test]
fn any_bytes_are_survived() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..2000 {
        let mut bytes = Vec::new();
        let hello = AgentMessage {
            id: 0,
            body: Some(Body::Hello(hello())),
        };
        encode_frame(&hello, &mut bytes).unwrap();
        for _ in 0..8 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            bytes.extend_from_slice(&(seed % 40).to_le_bytes()[..4]);
            bytes.extend_from_slice(&seed.to_le_bytes());
        }
        Peer::new().say_bytes(&bytes);
    }
    assert!(AgentMessage::decode(&[0xff_u8][..]).is_err());
}
