// SPDX-License-Identifier: Apache-2.0
//! Who a process runs as, by the image's own `/etc/passwd` and `/etc/group`.

use lightvm_protocol::agent::{User, failure::Code};

use crate::error::CallError;

/// A resolved user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// User number.
    pub uid: u32,
    /// Primary group number.
    pub gid: u32,
    /// All groups, the primary one among them; in order and without repetition.
    pub groups: Vec<u32>,
    /// Home directory, `/` for a user that the image does not know.
    pub home: String,
}

struct PasswdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct GroupEntry<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Lines that are no entries (comments, NIS markers, damage) are passed over, as libc does.
fn passwd_entries(passwd: &str) -> impl Iterator<Item = PasswdEntry<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(PasswdEntry {
            name,
            uid,
            gid,
            home: fields.nth(1).unwrap_or(""),
        })
    })
}

fn group_entries(group: &str) -> impl Iterator<Item = GroupEntry<'_>> {
    group.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some(GroupEntry {
            name,
            gid,
            members: fields.next().unwrap_or(""),
        })
    })
}

fn unknown(kind: &str, name: &str) -> CallError {
    CallError::new(
        Code::UserNotFound,
        format!("the image has no {kind} \"{name}\""),
    )
}

/// Finds out who `user` is. A number need not be in the files, a name must be.
pub fn resolve(user: &User, passwd: &str, group: &str) -> Result<Identity, CallError> {
    let (user_part, group_part) = match user.specification.split_once(':') {
        Some((user_part, group_part)) => (user_part, group_part),
        None => (user.specification.as_str(), ""),
    };
    let named =
        passwd_entries(passwd).find(|entry| !user_part.is_empty() && entry.name == user_part);
    let uid = match (&named, user_part) {
        (Some(entry), _) => entry.uid,
        (None, "") => user.uid,
        (None, text) => text.parse().map_err(|_| unknown("user", text))?,
    };
    let entry = named.or_else(|| passwd_entries(passwd).find(|entry| entry.uid == uid));
    let gid = match (user.gid, group_part) {
        (Some(gid), _) => gid,
        (None, "") => entry.as_ref().map_or(0, |entry| entry.gid),
        (None, text) => match group_entries(group).find(|entry| entry.name == text) {
            Some(entry) => entry.gid,
            None => text.parse().map_err(|_| unknown("group", text))?,
        },
    };
    let mut groups = vec![gid];
    groups.extend(&user.supplemental_groups);
    if let (false, Some(entry)) = (user.strict_supplemental_groups, &entry) {
        let of_user = group_entries(group).filter(|group| {
            group
                .members
                .split(',')
                .any(|member| member.trim() == entry.name)
        });
        groups.extend(of_user.map(|group| group.gid));
    }
    groups.sort_unstable();
    groups.dedup();
    let home = entry
        .map(|entry| entry.home)
        .filter(|home| !home.is_empty())
        .unwrap_or("/");
    Ok(Identity {
        uid,
        gid,
        groups,
        home: home.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# comment\n+::::::\n\
        nobody:x:65534:65533:nobody:/nonexistent:/bin/false\n1000:x:7:8::/odd:\nbroken:x:\n";
    const GROUP: &str = "root:x:0:\nusers:x:100:nobody,1000\nwheel:x:10:root, nobody\n42:x:5:\n";

    fn user(specification: &str) -> User {
        User {
            specification: specification.into(),
            ..User::default()
        }
    }

    fn ids(user: &User) -> (u32, u32, Vec<u32>) {
        let found = resolve(user, PASSWD, GROUP).unwrap();
        (found.uid, found.gid, found.groups)
    }

    #[test]
    fn a_name_brings_its_groups_and_home() {
        let found = resolve(&user("nobody"), PASSWD, GROUP).unwrap();
        let groups = vec![10, 100, 65533];
        let home = "/nonexistent".into();
        assert_eq!(
            found,
            Identity {
                uid: 65534,
                gid: 65533,
                groups,
                home
            }
        );
    }

    #[test]
    fn a_name_goes_before_a_number() {
        assert_eq!(ids(&user("1000")), (7, 8, vec![8, 100]));
        assert_eq!(ids(&user("root:42")), (0, 5, vec![5, 10]));
    }

    #[test]
    fn numbers_need_no_entry() {
        assert_eq!(ids(&user("5000:6000")), (5000, 6000, vec![6000]));
        assert_eq!(
            ids(&User {
                uid: 4000,
                ..User::default()
            }),
            (4000, 0, vec![0])
        );
        assert_eq!(resolve(&user("5000"), "", "").unwrap().home, "/");
    }

    #[test]
    fn no_specification_means_uid_and_gid() {
        assert_eq!(
            ids(&User {
                uid: 65534,
                ..User::default()
            }),
            (65534, 65533, vec![10, 100, 65533])
        );
        let root_group = User {
            uid: 65534,
            gid: Some(0),
            ..User::default()
        };
        assert_eq!(ids(&root_group), (65534, 0, vec![0, 10, 100]));
    }

    #[test]
    fn supplemental_groups_may_be_strict() {
        let strict = User {
            supplemental_groups: vec![9, 9, u32::MAX],
            strict_supplemental_groups: true,
            ..user("nobody:users")
        };
        assert_eq!(ids(&strict), (65534, 100, vec![9, 100, u32::MAX]));
    }

    #[test]
    fn unknown_names_are_named() {
        for (specification, name) in [("ghost", "ghost"), ("root:ghosts", "ghosts"), ("-1", "-1")] {
            let error = resolve(&user(specification), PASSWD, GROUP).unwrap_err();
            assert_eq!(error.code, Code::UserNotFound);
            assert!(error.message.contains(name), "{error}");
        }
    }
}
