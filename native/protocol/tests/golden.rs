// SPDX-License-Identifier: Apache-2.0
//! `test/golden`: the messages that the TypeScript tests encode must be the same bytes here.

use std::fs;
use std::path::Path;

use lightvm_protocol::{agent, vmm};
use prost::Message;

/// Decodes and encodes again; what this side does not know gets lost on the way.
fn round_trip<M: Message + Default>(bytes: &[u8]) -> Vec<u8> {
    M::decode(bytes).expect("a golden message").encode_to_vec()
}

/// The full protobuf name that a golden JSON file gives, its first string after `"type":`.
fn type_name(json: &str) -> &str {
    json.split("\"type\":")
        .nth(1)
        .and_then(|rest| rest.split('"').nth(1))
        .expect("a type")
}

#[test]
fn every_golden_message_survives_a_round_trip() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../test/golden");
    let mut tried = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let json = fs::read_to_string(&path).unwrap();
        let bytes = fs::read(path.with_extension("bin")).unwrap();
        let again = match type_name(&json) {
            "lightvm.agent.v1.AgentMessage" => round_trip::<agent::AgentMessage>(&bytes),
            "lightvm.agent.v1.HostMessage" => round_trip::<agent::HostMessage>(&bytes),
            "lightvm.vmm.v1.ClientHello" => round_trip::<vmm::ClientHello>(&bytes),
            "lightvm.vmm.v1.ClientMessage" => round_trip::<vmm::ClientMessage>(&bytes),
            "lightvm.vmm.v1.JournalRecord" => round_trip::<vmm::JournalRecord>(&bytes),
            "lightvm.vmm.v1.VmmMessage" => round_trip::<vmm::VmmMessage>(&bytes),
            other => panic!("{} names an unknown type: {other}", path.display()),
        };
        assert_eq!(again, bytes, "{}", path.display());
        tried += 1;
    }
    assert!(tried > 0, "no golden messages");
}

#[test]
fn reads_the_values_that_codecs_get_wrong() {
    let bytes = include_bytes!("../../../test/golden/client-create-container.bin");
    let message = vmm::ClientMessage::decode(&bytes[..]).unwrap();
    let Some(vmm::client_message::Call::CallAgent(call)) = message.call else {
        panic!("no call of the agent")
    };
    let Some(agent::host_message::Call::CreateContainer(create)) = call.call.unwrap().call else {
        panic!("no create")
    };
    let process = create.process.unwrap();
    assert_eq!(process.arguments, ["sh", "-c", "écho $HOME"]);
    let user = process.user.unwrap();
    assert_eq!((user.uid, user.gid), (0, None));
    assert_eq!(user.supplemental_groups, [10, u32::MAX]);
    let resources = create.resources.unwrap();
    assert_eq!(
        (resources.cpu_quota_microseconds, resources.oom_score_adjust),
        (-1, -998)
    );
    let image = create.mounts.last().unwrap();
    assert_eq!(
        (image.r#type.as_str(), image.source.as_str()),
        ("image", "weights")
    );
    assert_eq!(image.block_device_id, 5);
}
