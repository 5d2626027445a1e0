// SPDX-License-Identifier: Apache-2.0
//! What keeps containers of one pod apart, and from the kernel.

use lightvm_protocol::agent::{
    ConfigureSandbox, IdRange, Isolation, Process, User, UserNamespace, agent_message::Body,
    failure::Code, host_message::Call, isolation::ProcessView,
};

use crate::guest::Guest;
use crate::{
    create, exec, is_created, is_done, is_failure, is_started, remove, shell, signal, start,
};

fn isolated(id: &str, process: Process, isolation: Isolation) -> Call {
    match create(id, process) {
        Call::CreateContainer(mut request) => {
            request.isolation = Some(isolation);
            Call::CreateContainer(request)
        }
        other => other,
    }
}

fn view(process_view: ProcessView, target: &str) -> Isolation {
    Isolation {
        process_view: process_view.into(),
        process_target: target.to_owned(),
        ..Isolation::default()
    }
}

/// Runs a container to its end and returns what it has printed.
fn printed(guest: &mut Guest, process: Process, isolation: Isolation) -> String {
    is_created(guest.call(isolated("c", process, isolation)));
    is_started(guest.call(start("c")));
    let texts = (guest.stream_text(), guest.stream_text());
    assert_eq!(guest.exit().container_id, "c", "{texts:?}");
    is_done(guest.call(remove("c")));
    assert_eq!(texts.1, "");
    texts.0
}

pub(crate) fn shares_what_it_is_told_to(guest: &mut Guest) {
    let script = "exec sleep 1000";
    is_created(guest.call(isolated("long", shell(script), view(ProcessView::Pod, ""))));
    is_started(guest.call(start("long")));
    drop((guest.stream(), guest.stream()));

    let list = "grep -c pod[-]init /proc/1/cmdline; ps -o args | grep -c [s]leep.1000";
    for (isolation, seen) in [
        (view(ProcessView::Own, ""), "0\n0\n"),
        (view(ProcessView::Pod, ""), "1\n1\n"),
        (view(ProcessView::Target, "long"), "1\n1\n"),
    ] {
        assert_eq!(printed(guest, shell(list), isolation), seen);
    }

    let own_ipc = Isolation {
        own_ipc: true,
        ..Isolation::default()
    };
    let read = "readlink /proc/self/ns/ipc; echo /dev/shm/*";
    let apart = printed(guest, shell(read), own_ipc);
    let together = printed(guest, shell(read), Isolation::default());
    assert_ne!(apart, together);

    // Its first process goes, and the one that it has left behind with it.
    let leaves = printed(
        guest,
        shell("sleep 2000 & echo left"),
        view(ProcessView::Pod, ""),
    );
    assert_eq!(leaves, "left\n");
    let gone = printed(
        guest,
        shell("ps -o args | grep -c [s]leep.2000"),
        view(ProcessView::Pod, ""),
    );
    assert_eq!(gone, "0\n");

    is_done(guest.call(signal("long", 9, true)));
    assert_eq!(guest.exit().exit_code, 137);
    is_done(guest.call(remove("long")));
    let absent = view(ProcessView::Target, "long");
    is_created(guest.call(isolated("c", shell("true"), absent)));
    is_failure(guest.call(start("c")), Code::FailedPrecondition);
    drop((guest.stream(), guest.stream()));
    is_done(guest.call(remove("c")));
}

/// A filter that refuses chmod and fchmodat with EPERM and lets everything else pass.
fn no_chmod() -> Vec<u8> {
    const PROGRAM: [(u16, u8, u8, u32); 5] = [
        (0x20, 0, 0, 0),
        (0x15, 1, 0, 90),
        (0x15, 0, 1, 268),
        (0x06, 0, 0, 0x0005_0001),
        (0x06, 0, 0, 0x7fff_0000),
    ];
    PROGRAM
        .iter()
        .flat_map(|(code, jt, jf, k)| {
            [&code.to_ne_bytes()[..], &[*jt, *jf], &k.to_ne_bytes()].concat()
        })
        .collect()
}

pub(crate) fn filters_system_calls(guest: &mut Guest) {
    let filtered = || Isolation {
        seccomp_filter: no_chmod(),
        ..Isolation::default()
    };
    let script = "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status; chmod 700 /tmp 2>&1";
    let expected = |privileges: u32| {
        let status = format!("NoNewPrivs:\t{privileges}\nSeccomp:\t2\n");
        status + "chmod: /tmp: Operation not permitted\n"
    };
    let mut process = shell(script);
    process.user = Some(User {
        specification: "web".to_owned(),
        ..User::default()
    });
    assert_eq!(printed(guest, process.clone(), filtered()), expected(0));
    process.no_new_privileges = true;
    assert_eq!(printed(guest, process, filtered()), expected(1));

    // One more process has the filter of its container.
    is_created(guest.call(isolated("long", shell("exec sleep 1000"), filtered())));
    is_started(guest.call(start("long")));
    drop((guest.stream(), guest.stream()));
    is_started(guest.call(exec("long", "e", shell(script))));
    let texts = (guest.stream_text(), guest.stream_text());
    assert_eq!(texts, (expected(0), String::new()));
    assert_eq!(guest.exit().exec_id, "e");
    is_done(guest.call(signal("long", 9, true)));
    assert_eq!(guest.exit().exit_code, 137);
    is_done(guest.call(remove("long")));
}

pub(crate) fn lets_users_keep_capabilities(guest: &mut Guest) {
    let mut process = shell("grep -E '^Cap(Eff|Amb)' /proc/self/status");
    process.user = Some(User {
        specification: "web".to_owned(),
        ..User::default()
    });
    process.effective_capabilities = vec!["CAP_KILL".to_owned(), "CAP_SETUID".to_owned()];
    let set = |effective: &str, ambient: &str| {
        format!("CapEff:\t00000000000000{effective}\nCapAmb:\t00000000000000{ambient}\n")
    };
    assert_eq!(
        printed(guest, process.clone(), Isolation::default()),
        set("00", "00")
    );
    process.ambient_capabilities = vec!["CAP_KILL".to_owned()];
    assert_eq!(
        printed(guest, process, Isolation::default()),
        set("20", "20")
    );
}

/// The last of all: the pod keeps its user namespace.
pub(crate) fn maps_ids(guest: &mut Guest) {
    let range = |first| {
        Some(IdRange {
            first,
            length: 50_000,
        })
    };
    is_done(guest.call(Call::ConfigureSandbox(ConfigureSandbox {
        user_namespace: Some(UserNamespace {
            uids: range(100_000),
            gids: range(200_000),
        }),
        ..ConfigureSandbox::default()
    })));
    let script = "cat /proc/self/uid_map; id -u; id -G; echo x >/file && stat -c '%u %g' /file /etc/passwd /etc/hosts; \
        mount -t tmpfs none /srv && hostname other && hostname; echo y >/dev/stdout";
    let mut process = shell(script);
    process.effective_capabilities = vec!["CAP_SYS_ADMIN".to_owned()];
    process.working_directory = "/made/here".to_owned();
    let out = printed(guest, process.clone(), Isolation::default());
    let words: Vec<&str> = out.split_whitespace().collect();
    assert_eq!(words.join(" "), "0 100000 50000 0 0 0 0 0 0 0 0 other y");
    process.user = Some(User {
        specification: "60000".to_owned(),
        ..User::default()
    });
    let refused = guest.call(create("c", process));
    assert!(matches!(refused, Body::Failure(_)), "{refused:?}");

    let long = shell("exec sleep 1000");
    is_created(guest.call(isolated("long", long, view(ProcessView::Pod, ""))));
    is_started(guest.call(start("long")));
    drop((guest.stream(), guest.stream()));
    let mut more = shell("cat /proc/self/uid_map; id -u; echo z >/dev/stdout");
    more.user = Some(User {
        specification: "web".to_owned(),
        ..User::default()
    });
    is_started(guest.call(exec("long", "e", more)));
    let text = guest.stream_text();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words, ["0", "100000", "50000", "33", "z"]);
    assert_eq!(guest.stream_text(), "");
    assert_eq!(guest.exit().exec_id, "e");
    is_done(guest.call(signal("long", 9, true)));
    assert_eq!(guest.exit().exit_code, 137);
    is_done(guest.call(remove("long")));
}
