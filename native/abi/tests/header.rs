// SPDX-License-Identifier: Apache-2.0
//! Compares the mirror with what a C compiler makes of `include/noxs.h`.

use std::fs;
use std::path::Path;
use std::process::Command;

use lightvm_abi as abi;

/// Each line: a C expression and the value that the mirror has for it.
fn expectations() -> Vec<(String, u64)> {
    let mut list = Vec::new();
    macro_rules! constants {
        ($($name:ident)*) => {
            $(list.push((format!("NOXS_{}", stringify!($name)), abi::$name as u64));)*
        };
    }
    constants!(
        MAGIC VERSION FIRST_WORD PAGE_SIZE MAX_SLOTS MAX_QUEUES CONFIG_SIZE TYPE_NET TYPE_BLOCK
        TYPE_RNG TYPE_BALLOON TYPE_VSOCK TYPE_MEM TYPE_FS TYPE_SYSCTL SLOT_EMPTY SLOT_PRESENT
        SLOT_REMOVING FRONT_RELEASED SYSCTL_NONE SYSCTL_POWEROFF SYSCTL_REBOOT SYSCTL_SUSPEND
        SYSCTL_EXITING SYSCTL_RESTARTING SYSCTL_PANICKED SYSCTL_ALIVE
    );
    macro_rules! structures {
        ($($rust:ident = $c:literal { $($field:ident)* })*) => {$(
            list.push((format!("sizeof(struct {})", $c), size_of::<abi::$rust>() as u64));
            $({
                let name = stringify!($field).replace("kind", "type");
                let offset = std::mem::offset_of!(abi::$rust, $field) as u64;
                list.push((format!("offsetof(struct {}, {name})", $c), offset));
            })*
        )*};
    }
    structures!(
        Header = "noxs_header" {
            first_word generation doorbell_port slot_count entry_size region_pages reserved
        }
        Entry = "noxs_entry" { kind id state port control_address backend_domid reserved }
        DevicePage = "noxs_device_page" { header entries }
        Back = "noxs_back" {
            features ack status config_generation queue_count queue_max reserved config
        }
        Queue = "noxs_queue" { size enabled reserved descriptors driver device }
        Front = "noxs_front" {
            features request status flags reserved0 reserved queues config
        }
        ControlPage = "noxs_control_page" { back front }
        Sysctl = "noxs_sysctl" { sequence word memory_end }
    );
    list
}

#[test]
fn the_mirror_agrees_with_the_header() {
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let source = folder.join("noxs-header.c");
    let program = folder.join("noxs-header");
    let expected = expectations();

    let mut text = String::from("#include <stdio.h>\n#include \"noxs.h\"\nint main(void) {\n");
    for (expression, _) in &expected {
        text += &format!("printf(\"%llu\\n\", (unsigned long long)({expression}));\n");
    }
    text += "return 0; }\n";
    fs::write(&source, text).expect("the test's C file is written");

    let compiled = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(&include)
        .arg("-o")
        .arg(&program)
        .arg(&source)
        .status()
        .expect("a C compiler is there");
    assert!(compiled.success(), "the header compiles");

    let output = Command::new(&program).output().expect("the C program runs");
    let printed = String::from_utf8(output.stdout).expect("it prints numbers");
    let values: Vec<u64> = printed
        .lines()
        .map(|line| line.parse().expect("a number"))
        .collect();
    assert_eq!(values.len(), expected.len());
    for ((expression, mirror), header) in expected.iter().zip(values) {
        assert_eq!(*mirror, header, "{expression}");
    }
}

/// A constant that the header gains must come into the mirror and into this test.
#[test]
fn every_constant_of_the_header_is_compared() {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/noxs.h");
    let text = fs::read_to_string(header).expect("the header is there");
    let known: Vec<String> = expectations().into_iter().map(|(name, _)| name).collect();
    let plumbing = [
        "NOXS_H",
        "NOXS_U8",
        "NOXS_U16",
        "NOXS_U32",
        "NOXS_U64",
        "NOXS_ASSERT(what)",
    ];
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("#define ") else {
            continue;
        };
        let name = rest.split_whitespace().next().unwrap_or(rest);
        let compared = known.iter().any(|expression| expression == name);
        assert!(
            compared || plumbing.contains(&name),
            "{name} is not compared"
        );
    }
}
