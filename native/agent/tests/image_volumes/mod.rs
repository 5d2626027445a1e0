// SPDX-License-Identifier: Apache-2.0
//! Images that a container sees beside its own.

use lightvm_protocol::agent::{Mount, agent_message::Body, failure::Code, host_message::Call};

use crate::guest::Guest;
use crate::{DEVICE, create, is_created, is_done, is_failure, is_started, remove, shell, start};

const OPTIONS: [&str; 4] = ["noexec", "nosuid", "nodev", "ro"];

/// `source` of an image at `destination`.
fn image_at(destination: &str, source: &str) -> Mount {
    Mount {
        destination: destination.to_owned(),
        r#type: "image".to_owned(),
        source: source.to_owned(),
        options: OPTIONS.map(str::to_owned).to_vec(),
        block_device_id: DEVICE,
    }
}

/// A container "c" that sees `source` of an image at `destination`, and runs `script`.
fn with_image(destination: &str, source: &str, script: &str) -> Call {
    with(image_at(destination, source), script)
}

fn with(mount: Mount, script: &str) -> Call {
    match create("c", shell(script)) {
        Call::CreateContainer(mut request) => {
            request.mounts = vec![mount];
            Call::CreateContainer(request)
        }
        other => other,
    }
}

/// What the container says of the image, which is gone again when this returns.
fn seen(guest: &mut Guest, call: Call) -> String {
    is_created(guest.call(call));
    is_started(guest.call(start("c")));
    let texts = (guest.stream_text(), guest.stream_text());
    assert_eq!(guest.exit().container_id, "c", "{texts:?}");
    is_done(guest.call(remove("c")));
    texts.0 + &texts.1
}

/// All of an image, a directory and a file of it; owners are those of the image, whatever the namespace.
pub(crate) fn are_parts_of_images(guest: &mut Guest) {
    let owner = "stat -c '%u %g' /data/etc/passwd; cat /data/etc/group | grep -c .";
    assert_eq!(seen(guest, with_image("/data", "", owner)), "0 0\n3\n");
    let script = "cat /data/group | grep logs; stat -c %u /data";
    assert_eq!(
        seen(guest, with_image("/data", "etc", script)),
        "logs:x:44:web\n0\n"
    );
    let script = "grep -c x /srv/names";
    assert_eq!(
        seen(guest, with_image("/srv/names", "/etc/group", script)),
        "3\n"
    );
}

pub(crate) fn cannot_be_changed_or_run(guest: &mut Guest) {
    let script =
        "(echo x >/data/etc/passwd) 2>&1; chmod 700 /data/etc 2>&1; /data/bin/cat /etc/passwd 2>&1";
    let said = seen(guest, with_image("/data", "", script));
    assert_eq!(said.matches("Read-only file system").count(), 2, "{said}");
    assert_eq!(said.matches("Permission denied").count(), 1, "{said}");
    // Unless the host says that programs may run.
    let mut programs = image_at("/data", "bin");
    programs.options.push("exec".to_owned());
    let run = "/data/cat /etc/passwd | grep -c root; echo x >/data/cat";
    let said = seen(guest, with(programs, run));
    assert!(said.starts_with("1\n"), "{said}");
    assert!(said.contains("Read-only file system"), "{said}");
}

/// An image's links may lead anywhere; they end in the image.
pub(crate) fn keep_their_links_inside(guest: &mut Guest) {
    for source in ["up/etc", "etc/../../../etc", "/tmp/../up/up/etc"] {
        let script = "cat /data/group | grep logs";
        assert_eq!(
            seen(guest, with_image("/data", source, script)),
            "logs:x:44:web\n",
            "{source}"
        );
    }
    for missing in ["nothing", "up/run", "etc/passwd/x"] {
        let refused = guest.call(with_image("/data", missing, "exit 0"));
        is_failure(refused, Code::FailedPrecondition);
    }
    // What was refused has left nothing: the same image is there for the next one, and the name as well.
    let reply = guest.call(with_image("/data", "", "exit 0"));
    assert!(matches!(reply, Body::ContainerCreated(_)), "{reply:?}");
    is_done(guest.call(remove("c")));
}
