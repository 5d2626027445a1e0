// SPDX-License-Identifier: Apache-2.0

/**
 * The profile behind RuntimeDefault. In effect that of containerd and Docker: what reaches into the
 * kernel's administration, other processes or other namespaces is refused with EPERM, unless the
 * container has the capability that the kernel wants for it anyway.
 */
import type { Argument, Profile, Rule, Verdict } from "./profile.ts";

/** Calls that every program may make. */
const ALWAYS = `
accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod chown
clock_adjtime clock_getres clock_gettime clock_nanosleep close close_range connect copy_file_range
creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait
eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fallocate
fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr
flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex futex_requeue
futex_wait futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu getcwd getdents
getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid getpgrp getpid getppid
getpriority getrandom getresgid getresuid getrlimit getrusage getsid getsockname getsockopt gettid
gettimeofday getuid getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch
io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit ioctl ioprio_get ioprio_set
kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lgetxattr link linkat
listen listxattr llistxattr lremovexattr lseek lsetxattr lstat madvise map_shadow_stack membarrier
memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap
modify_ldt mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink mremap
mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep
newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free
pkey_mprotect poll ppoll prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv
process_vm_writev pselect6 ptrace pwrite64 pwritev pwritev2 read readahead readlink readlinkat
readv recvfrom recvmmsg recvmsg remap_file_pages removexattr rename renameat renameat2
restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min
sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select
semctl semget semop semtimedop sendfile sendmmsg sendmsg sendto set_robust_list set_thread_area
set_tid_address setfsgid setfsuid setgid setgroups setitimer setpgid setpriority setregid
setresgid setresuid setreuid setrlimit setsid setsockopt setuid setxattr shmat shmctl shmdt shmget
shutdown sigaltstack signalfd signalfd4 socketpair splice stat statfs statx symlink symlinkat sync
sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun
timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times tkill truncate
umask uname unlink unlinkat utime utimensat utimes vfork vmsplice wait4 waitid write writev
`;

/** Capability → calls that are of no use without it. */
const WITH_CAPABILITY: Readonly<Record<string, string>> = {
  CAP_BPF: "bpf",
  CAP_DAC_READ_SEARCH: "open_by_handle_at",
  CAP_PERFMON: "perf_event_open",
  CAP_SYS_ADMIN: [
    "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie",
    "mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd",
    "setdomainname sethostname setns syslog umount2 unshare",
  ].join(" "),
  CAP_SYS_BOOT: "reboot",
  CAP_SYS_CHROOT: "chroot",
  CAP_SYS_MODULE: "delete_module finit_module init_module",
  CAP_SYS_NICE: "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
  CAP_SYS_PACCT: "acct",
  CAP_SYS_PTRACE: "kcmp pidfd_getfd process_madvise",
  CAP_SYS_RAWIO: "ioperm iopl",
  CAP_SYS_TIME: "clock_settime settimeofday",
  CAP_SYS_TTY_CONFIG: "vhangup",
  CAP_SYSLOG: "syslog",
};

const EPERM = 1;
const ENOSYS = 38;
const ALLOW: Verdict = { action: "SCMP_ACT_ALLOW", data: 0 };

/** personality(2): Linux and its 32-bit address layout, each with and without UNAME26, and "get". */
const PERSONALITIES = [0x0n, 0x8n, 0x2_0000n, 0x2_0008n, 0xffff_ffffn];
/** Family of sockets that lead to the VM's host. */
const AF_VSOCK = 40n;
/** Flags of clone(2) that make namespaces, CLONE_NEWNS to CLONE_NEWNET. */
const NAMESPACE_FLAGS = 0x7e02_0000n;

/** The profile for a container with these capabilities. */
export function defaultProfile(capabilities: ReadonlySet<string>): Profile {
  const permitted = Object.entries(WITH_CAPABILITY)
    .filter(([capability]) => capabilities.has(capability))
    .map(([, names]) => names);
  return {
    otherwise: { action: "SCMP_ACT_ERRNO", data: EPERM },
    rules: [
      ...[ALWAYS, ...permitted].map((names) => allow(names.trim().split(/\s+/))),
      ...PERSONALITIES.map((value) => allow(["personality"], equal(value))),
      allow(["socket"], { index: 0, op: "SCMP_CMP_NE", value: AF_VSOCK, valueTwo: 0n }),
      ...(capabilities.has("CAP_SYS_ADMIN") ? [] : NO_NAMESPACES),
    ],
  };
}

/** The flags of clone3 are out of a filter's reach; ENOSYS makes libraries fall back to clone. */
const NO_NAMESPACES: readonly Rule[] = [
  allow(["clone"], { index: 0, op: "SCMP_CMP_MASKED_EQ", value: NAMESPACE_FLAGS, valueTwo: 0n }),
  { names: ["clone3"], action: "SCMP_ACT_ERRNO", data: ENOSYS, arguments: [] },
];

function allow(names: readonly string[], ...conditions: readonly Argument[]): Rule {
  return { ...ALLOW, names, arguments: conditions };
}

function equal(value: bigint): Argument {
  return { index: 0, op: "SCMP_CMP_EQ", value, valueTwo: 0n };
}
