"""System calls that a confined process may make, and their numbers (asm/unistd_64.h, asm-generic/unistd.h).

All of `ALLOWED` act only on the process itself and on descriptors that it could open under Landlock. The calls that
are looked at more closely are in `seccomp.rules`.
"""

ALLOWED = """
    access alarm brk chdir clock_getres clock_gettime clock_nanosleep close close_range copy_file_range dup dup2
    dup3 epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd2 exit exit_group faccessat faccessat2
    fadvise64 fchdir fdatasync flock fstat fstatfs fsync ftruncate futex futex_waitv getcpu getcwd
    getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid getpgrp getpid getppid getpriority
    getrandom getresgid getresuid getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid
    lseek lstat madvise membarrier mkdir mkdirat mmap mprotect mremap msync munmap nanosleep newfstatat pause pipe
    pipe2 poll ppoll pread64 preadv preadv2 pselect6 pwrite64 pwritev pwritev2 read readahead readlink readlinkat
    readv recvfrom recvmsg rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending
    rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait sched_get_priority_max sched_get_priority_min
    sched_getaffinity sched_getparam sched_getscheduler sched_yield select sendfile set_robust_list
    set_tid_address setitimer shutdown sigaltstack signalfd4 stat statfs statx sync_file_range sysinfo time
    timerfd_create timerfd_gettime timerfd_settime times umask uname unlink unlinkat write writev
""".split()  # noqa: SIM905

# fmt: off
NUMBERS: dict[str, dict[str, int]] = {
    "x86_64": dict(
        access=21, alarm=37, brk=12, chdir=80, clock_getres=229, clock_gettime=228, clock_nanosleep=230,
        clone=56, clone3=435, close=3, close_range=436, copy_file_range=326, dup=32, dup2=33, dup3=292,
        epoll_create1=291, epoll_ctl=233, epoll_pwait=281, epoll_pwait2=441, epoll_wait=232, eventfd2=290,
        exit=60, exit_group=231, faccessat=269, faccessat2=439, fadvise64=221, fchdir=81,
        fcntl=72, fdatasync=75, flock=73, fstat=5, fstatfs=138, fsync=74, ftruncate=77, futex=202,
        futex_waitv=449, getcpu=309, getcwd=79, getdents64=217, getegid=108, geteuid=107, getgid=104,
        getgroups=115, getitimer=36, getpeername=52, getpgid=121, getpgrp=111, getpid=39, getppid=110,
        getpriority=140, getrandom=318, getresgid=120, getresuid=118, getrlimit=97, getrusage=98, getsid=124,
        getsockname=51, getsockopt=55, gettid=186, gettimeofday=96, getuid=102, ioctl=16, kill=62, lseek=8,
        lstat=6, madvise=28, membarrier=324, mkdir=83, mkdirat=258, mmap=9, mprotect=10, mremap=25, msync=26,
        munmap=11, nanosleep=35, newfstatat=262, openat=257, openat2=437, pause=34, pipe=22, pipe2=293, poll=7,
        ppoll=271, prctl=157, pread64=17, preadv=295, preadv2=327, prlimit64=302, pselect6=270, pwrite64=18,
        pwritev=296, pwritev2=328, read=0, readahead=187, readlink=89, readlinkat=267, readv=19, recvfrom=45,
        recvmsg=47, rename=82, renameat=264, renameat2=316, restart_syscall=219, rmdir=84, rseq=334,
        rt_sigaction=13, rt_sigpending=127, rt_sigprocmask=14, rt_sigreturn=15, rt_sigsuspend=130,
        rt_sigtimedwait=128, sched_get_priority_max=146, sched_get_priority_min=147, sched_getaffinity=204,
        sched_getparam=143, sched_getscheduler=145, sched_yield=24, select=23, sendfile=40, sendmsg=46,
        sendto=44, set_robust_list=273, set_tid_address=218, setitimer=38, setsockopt=54, shutdown=48,
        sigaltstack=131, signalfd4=289, socketpair=53, stat=4, statfs=137, statx=332, sync_file_range=277,
        sysinfo=99, tgkill=234, time=201, timerfd_create=283, timerfd_gettime=287, timerfd_settime=286,
        times=100, umask=95, uname=63, unlink=87, unlinkat=263, write=1, writev=20,
    ),
    "aarch64": dict(
        brk=214, chdir=49, clock_getres=114, clock_gettime=113, clock_nanosleep=115, clone=220, clone3=435,
        close=57, close_range=436, copy_file_range=285, dup=23, dup3=24, epoll_create1=20, epoll_ctl=21,
        epoll_pwait=22, epoll_pwait2=441, eventfd2=19, exit=93, exit_group=94, faccessat=48, faccessat2=439,
        fadvise64=223, fchdir=50, fcntl=25, fdatasync=83, flock=32, fstat=80, fstatfs=44,
        fsync=82, ftruncate=46, futex=98, futex_waitv=449, getcpu=168, getcwd=17, getdents64=61, getegid=177,
        geteuid=175, getgid=176, getgroups=158, getitimer=102, getpeername=205, getpgid=155, getpid=172,
        getppid=173, getpriority=141, getrandom=278, getresgid=150, getresuid=148, getrlimit=163, getrusage=165,
        getsid=156, getsockname=204, getsockopt=209, gettid=178, gettimeofday=169, getuid=174, ioctl=29,
        kill=129, lseek=62, madvise=233, membarrier=283, mkdirat=34, mmap=222, mprotect=226, mremap=216,
        msync=227, munmap=215, nanosleep=101, newfstatat=79, openat=56, openat2=437, pipe2=59, ppoll=73,
        prctl=167, pread64=67, preadv=69, preadv2=286, prlimit64=261, pselect6=72, pwrite64=68, pwritev=70,
        pwritev2=287, read=63, readahead=213, readlinkat=78, readv=65, recvfrom=207, recvmsg=212, renameat=38,
        renameat2=276, restart_syscall=128, rseq=293, rt_sigaction=134, rt_sigpending=136, rt_sigprocmask=135,
        rt_sigreturn=139, rt_sigsuspend=133, rt_sigtimedwait=137, sched_get_priority_max=125,
        sched_get_priority_min=126, sched_getaffinity=123, sched_getparam=121, sched_getscheduler=120,
        sched_yield=124, sendfile=71, sendmsg=211, sendto=206, set_robust_list=99, set_tid_address=96,
        setitimer=103, setsockopt=208, shutdown=210, sigaltstack=132, signalfd4=74, socketpair=199, statfs=43,
        statx=291, sync_file_range=84, sysinfo=179, tgkill=131, timerfd_create=85, timerfd_gettime=87,
        timerfd_settime=86, times=153, umask=166, uname=160, unlinkat=35, write=64, writev=66,
    ),
}
# fmt: on
