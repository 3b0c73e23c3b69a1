//! Coracle runs containers as plain systemd services that wake up when somebody connects.
//!
//! This page is the architecture document: what the parts are, which way the data takes through them, what each may not do, and where
//! things lie on disk. `tests/tidy.rs` reads it and holds the sources to it.
//!
//! # What it is
//!
//! An administrator writes one file, `/etc/coracle/web.toml`: an image, a port. A systemd generator turns it into `web.socket` and
//! `web.service`. systemd listens on the port; the first connection starts the service; its `ExecStart=` is a short-lived program that
//! builds the container around the payload and exits. From then on systemd supervises the payload itself: its main PID, its exit
//! status, its cgroup, its journal. There is no daemon, no monitor process and no database. All state is systemd's, the kernel's, or a
//! file that can be made again, so killing any part at any time leaves nothing to repair.
//!
//! # The programs
//!
//! | program | runs | does | never |
//! | --- | --- | --- | --- |
//! | `coracle-generator` | at every daemon-reload, as a systemd.generator(7) | reads definitions, writes units, warns | writes outside its three directories, fails because of one bad file, needs network, D-Bus or `/var` |
//! | `coracle-shim` | at every start, as `ExecStart=` | makes the container's first process and what takes the host's rights, hands the main PID over, exits | starts a thread, keeps running beside a container unless it is its proxy's parent, speaks D-Bus |
//! | `coracle-oci` | when another engine calls it: Podman, containerd | makes, starts and removes containers from bundles, by the command line of the OCI runtime specification | keeps running beside a container; decides what an engine has to say |
//! | init: the container's first process | as PID 1 of each container | builds the container around itself, starts the payload, forwards signals, reaps, answers `bind(2)`, tells readiness, stops an idle payload, has health checked by a process beside it, ends as the payload ended | grows: its private memory is tens of kilobytes; touches the data path |
//! | `coracle` | when somebody types it | init, probe, check, apply, list, show, explain, run, exec, cp, diff, stats, top, set, update, image, network, volume, man, completions | replaces systemctl or journalctl |
//!
//! # The way the data takes
//!
//! ```text
//! NAME.toml, its drop-ins                        an archive, a layout, a directory
//!      │ definition: parse, merge, check              │ coracle image import
//!      ▼                                              ▼
//! Definition + Diagnostics                        store: OCI layout + unpacked layers
//!      │ generate: pure                               │
//!      ▼                                              │
//! NAME.socket  NAME.service  NAME.json                │
//!      │ systemd: a connection arrives                │
//!      ▼                                              ▼
//! coracle-shim: resolved definition + image configuration + sockets
//!      │ plan: pure
//!      ▼
//! Plan: a list of steps, as data ──▶ coracle show --plan (an OCI config.json)
//!      │ run: carries them out in order
//!      ▼
//! namespaces, root, mounts, capabilities ─▶ init ─▶ payload
//! ```
//!
//! Both halves are *decide, then act*. What is decided is a value without any reference to the system, so it is printed, compared and
//! tested without privilege; what acts is a straight list of steps. `NAME.json` lies beside the generated units, in the generator's own
//! output directory: units and resolved definition always come from the same reload, and editing a file changes nothing until the next.
//!
//! Mistakes in definitions are data as well: a diagnostic has a file, a line, a column and a suggestion. Parsing never stops at the first
//! one and never fails. A definition with an error becomes a service that cannot start and whose failure text is the diagnostic, so that
//! `systemctl status` and `coracle check` say the same. Its sockets are made as ever where all errors are known to be about something else
//! ([`definition::certainty`]), and clients wait; elsewhere there is none, since a port that was not meant is worse than one that is missing.
//!
//! # The floors
//!
//! A module uses only those that stand to its right; the programs' `main` functions stand above all.
//!
//! ```text
//! cli > registry > oci > systemd > run > store > generate > plan > activation > definition > image > unitfile > threads > sys
//! ```
//!
//! | module | is | invariant |
//! | --- | --- | --- |
//! | `cli` | the verbs of `coracle`, one file each; all printing in one place | nothing else prints |
//! | `registry` | pull, push and copy over the network (to come) | a copy never changes a digest |
//! | `oci` | the OCI runtime command line: bundles → a plan of its own → containers | `oci/plan` is pure; what makes a container safe is `run`'s and `sys`'s code |
//! | `systemd` | systemd over D-Bus | only `cli` uses it, and `oci` where an engine asks for scopes: neither generator nor shim speaks D-Bus |
//! | `run` | carries a plan out: namespaces, root, exec; init; the answering of `bind(2)` | decides nothing; no error path returns into the parent's code after a fork |
//! | `store` | images on disk | readers take no lock; nothing that an image names is written outside the store |
//! | `generate` | definitions → unit files | its `run`, `write` and `version` touch the system, the rest opens no file; the same definitions give the same bytes |
//! | `plan` | definition + image configuration + sockets → plan | opens no file, reads no environment; the payload's environment is a value |
//! | `activation` | the sockets that systemd passed | accepts on none of them and closes none |
//! | `definition` | text → definition and diagnostics; the key table; where definitions lie | parsing never fails; only `places` opens files |
//! | `image` | references, digests, media types | parses text, nothing else |
//! | `unitfile` | systemd's syntax: sections, quoting, specifiers | what is quoted here is read back by systemd as it was |
//! | `threads` | shares work among the processors | the results' order is the work's, on any machine |
//! | `sys` | system calls that nix does not have | the only unsafe code |
//!
//! The key table in `definition` is where a key is described, once: name, section, type, meaning, since when, carried out or not.
//! The parser, `coracle explain`, the page coracle.toml(5) and the suggestions come from it.
//!
//! # The start
//!
//! A client waits for it, so its length is counted in tenths of milliseconds, and two processes share it. The shim reads the resolved
//! definition and the image, makes the plan, and makes the container's first process, in a user and a PID namespace and as a child of
//! systemd (`CLONE_PARENT`). That one makes the other namespaces, its own file systems, and closes the paths of /proc and /sys; the
//! shim meanwhile stacks the image's layers, makes `/dev` and opens what is mounted from the host. It gives all of it over as
//! descriptors, through a socket pair, and whoever comes first waits for the other.
//!
//! This is also the border of rights. The container's first process is in a user namespace of its own from its first instruction on
//! (`UserNS=`): its root is a user of the host that owns nothing. Every path that an image or a payload can have a hand in is looked up by that process, and never by
//! the shim. The range of identities follows from the unit's name; a lock on a byte of `/run/coracle/.identities` keeps it from others
//! and ends with the container. Layers, writable layer and volumes are idmapped mounts: on disk their owners are those inside.
//!
//! The payload's process is forked before there is a root ([`run::payload`]): it prepares itself beside init, which builds the root, and waits. When
//! init has entered the root it says so, and stands still until the payload has been executed. systemd is told of the new main process when
//! init first has something to say to it, readiness as a rule, and 20 ms after the start at the latest; readiness waits 2 ms for the
//! payload's first answer. Until then the shim is the main process, and a stop that reaches it is passed on.
//!
//! # Without root
//!
//! In a user's manager the same shim does the same work in the same order, with other rights. It has none on the host, so it takes those that
//! everybody has in a namespace of their own: it makes the container's first process, has its identities mapped by `newuidmap` and
//! `newgidmap`, which give what subuid(5) lends to the user and nothing else, and then joins that process's user and mount namespaces.
//! From there on it is root inside and the user outside. What root does by idmapped mounts is done by the files themselves: images are unpacked in such a
//! namespace ([`run::subordinate`]), so that on disk the image's root is the user and its others are those lent. overlayfs keeps its marks in
//! `user.*` attributes; `/dev` is made of the host's own nodes, each mounted by a descriptor that was looked at; and what cannot be had
//! without root is a mistake in the definition (`definition/resolve/reach`) or a line that says so at the start.
//!
//! A user's root file system seen with other owners does not exist, so `UserNS=keep-id` has the layers a second time ([`run::keep`]).
//! Outside leads `Network=pasta`, a program in the container's control group that systemd ends with it ([`run::pasta`]).
//!
//! The container's root *is* the user for everybody outside, so whatever the user has must be out of its reach: it sees no file of theirs
//! but its volumes, and neither the manager's notify socket nor any other of `$XDG_RUNTIME_DIR`; what init keeps open leads nowhere but into
//! the image's layers; and init's memory belongs to the host's namespace, in which a container's root may look at nothing.
//!
//! # Devices
//!
//! `/dev` is a tmpfs that the shim fills with nodes of the usual numbers and of those that `AddDevice=` names, before anybody else sees it; no
//! node is ever reached through a path of the image, and every other mount but the container's terminals is nodev. In a user namespace nobody
//! can make a node, so that is all there is, and such a unit has no `DevicePolicy=`: to load one takes the kernel a part of the start. Units
//! with `AddDevice=`, whose nodes belong to the container's root, and units with `UserNS=host`, whose root may have CAP_MKNOD, have the closed
//! policy with what they need.
//!
//! # Volumes and secrets
//!
//! A volume with a name is a directory and nothing more. The shim makes a new one under another name and gives it, empty, to the container; that
//! one looks up what the image has in its place, copies it with its own rights, and says so; then the shim brings it to the disk and gives it its
//! name. So no path of an image is looked up by the shim here either, and a kill leaves a volume or none. Volumes without a name lie beside the
//! writable layer and go with it. A volume that is a file system of its own has a mount unit, since that is what systemd does best: the
//! start fails where nothing is mounted.
//!
//! Who is alive is told by locks: a container holds shared ones on bytes of the file that has the ranges of identities, one for its writable layer and
//! one for each volume with a name. `coracle volume rm` and the sweeping of layers that were left behind ask for the same byte alone.
//!
//! Secrets are credentials of the unit, which systemd finds and decrypts. The shim reads them from `$CREDENTIALS_DIRECTORY` and puts them into
//! a ramfs of the container; the container gives each file to its owner before it is mounted. A plan has their names only.
//!
//! # The filter of system calls
//!
//! Before it is executed, the payload installs a seccomp filter: the profile that Docker and Podman share, while init is still building the
//! root, since that one lets through all that is left to be done; or the file that `SeccompProfile=` names, which is read at the start and not by
//! the generator, with no call between it and the exec, since it may forbid any. The filter is part of the plan: rules made
//! for this machine, this kernel and the payload's capabilities, and the program of classic BPF that follows from them. The program is
//! made anew at each start, since that takes some 11 µs; what it costs is its installation, where the kernel looks up every call
//! once. So it is a balanced tree, in which any call is decided in some ten instructions, for each table of calls that the machine has
//! (x86_64 with i386 and x32, aarch64 with arm); a call by any other table ends the process.
//!
//! It stacks with the filter that catches `bind(2)`, which is installed first: of all answers to a call the kernel takes the strictest, and
//! asking init is stricter than letting through.
//!
//! # Labels
//!
//! Where the host has AppArmor in use, the payload runs under a profile: the one that `AppArmor=` names, or `coracle-default`, which Coracle
//! brings (packaging/apparmor). That one repeats what namespaces, read-only mounts and the filter say, for the day on which one of them
//! has a hole, and it is all that holds where a definition gives the host's own root (`UserNS=host`) the right to mount. It is left out
//! where a definition opens what it closes: `Unmask=`, and the right to mount in a user namespace of its own. On a host with SELinux
//! `SecurityLabelType=`, `SecurityLabelLevel=` and `SecurityLabelFileType=` set the context of the processes, and that of the files through
//! `context=` of every mount that is made for the container; without these keys the context stays what systemd gives the shim, and for
//! `coracle exec` that of its caller. The types, and what they may, are the policy's; packaging/selinux adds the way from the shim's type into
//! them, under `no_new_privs` and onto a root that is mounted nosuid, and the use of what systemd listens on.
//!
//! The generator finds out which module is in use and leaves it in the resolved definition, so that a host without one pays nothing at
//! a start. SELinux itself confines generators and hides its own files from them, so it is known by what the generator is called. A label that
//! a definition names applies or the container does not start. It is taken by the payload itself, for its exec, through the container's
//! own procfs, which is made sure to be one, and beneath which no other mount is entered. init has no label.
//!
//! Landlock is used for one thing, on the host's network alone, since a network namespace does it everywhere else: to keep the payload from
//! the host's abstract Unix sockets (`AbstractSockets=`, Linux 6.12). A program of `coracle exec` is kept from them in the same way, but by a domain of its
//! own, since none can be joined: to it the container's abstract sockets are others'. Rules for files it does not get: they could only list what may be
//! written, which is what mounts say already, and each opened file would pay for them.
//!
//! # Running out
//!
//! `Memory=` and `PidsLimit=` are the unit's `MemoryMax=` and `TasksMax=`, and every limit of systemd.resource-control(5) goes through, so there
//! is one place that sets them and one that tells. The payload sees them in `/sys/fs/cgroup`, whose root is its own control group, and
//! cannot write there. When the kernel kills for want of memory, systemd sees it in the unit's group whoever the victim is: the result is
//! `oom-kill`, and `OOMPolicy=` decides what becomes of the rest. Its default, to stop the unit, is left as it is: init ends with
//! the payload, and a payload without its children is rarely what was started.
//!
//! # The socket
//!
//! systemd binds the port and keeps it over restarts, updates and crashes. The payload accepts on the kernel's own listening socket:
//! no proxy and no address translation lies on the data path, and it sees its clients' addresses. A program that knows
//! sd_listen_fds(3) inherits the descriptor (`Activation=inherit`). Any other program is caught in the act (`Activation=intercept`): a
//! seccomp filter notifies init of each `bind(2)` and `listen(2)`, also of 32-bit programs, and where address and type match a socket of
//! ours, init puts that socket in place of the program's own, with the options that had been set and where an epoll waited for it. Every other call
//! goes on untouched, and a port that nobody has declared is named once. This is a convenience and no security border: the border is the
//! empty network namespace around the payload.
//!
//! A socket has the clients of one family or of two, and so has what a program binds. A bind gets the best of our sockets for its port and
//! type, of any family before none ([`run::intercept::family`]), since a queue that nobody reads is the one thing that must not be; a later
//! bind that has the better right to it takes it over, and the first gets its own back ([`run::intercept::claim`]). One socket cannot accept from
//! two queues, though: where that is what it takes, clients wait, and the journal and the unit's status text name the key that mends
//! it ([`run::intercept::report`]).
//!
//! A Unix socket with a path that listens is replaced when it listens, since programs set owner and mode of the file that their bind leaves; for one
//! for datagrams, which never listens, init leaves that file in the program's name ([`run::intercept::place`]).
//!
//! A generated unit never lets its socket die: no start limit, a pause between restarts, `Wants=` instead of `Requires=`, and a clean
//! exit that nobody asked for is held back by init until systemd no longer counts it as one of a storm of starts. A payload that cannot
//! start leaves its clients in the queue, and they are served as soon as it can.
//!
//! # Idle to zero
//!
//! With `IdleTimeout=` init stops a container that nobody uses ([`run::idle`]). Who uses it only the host's network namespace knows, where accepted
//! connections belong like their listener. So the shim opens a sock_diag(7) socket there before it leaves, and init asks by it for its own ports and names, and
//! nothing else; with that socket it could list the host's connections, and so it is kept like the rest of what init has open. What comes and goes
//! between two looks is noticed by asynchronous polls ([`sys::tripwire`]), which lie there until they are looked for: init is not woken by clients, and
//! a connection costs what it did. That is also all there is to know of datagrams, of which no kernel keeps the time.
//!
//! The stop itself must not take a client with it. A program may accept a connection after its stop signal and die, so that while it is being stopped none may
//! come. A socket filter would take rights over the host's network; but anybody may demand of a TCP listener's clients that they sign their segments,
//! and then the kernel drops, in silence, whatever begins or completes a connection, and the client's sends it again after a second ([`sys::gate`]). Where there
//! is no such gate, all in the container is held by SIGSTOP for the last look, since init is in the control group that it would otherwise freeze. Status 0
//! is then "idle, by our own decision". A closed gate outlives whoever has closed it; so the shim opens those that it finds at each start, and a
//! container that was killed in between is started again by systemd like any other that was killed.
//!
//! # Health
//!
//! `HealthCmd=` runs in the container and as the payload, which takes rights that init has given up ([`run::health`]). So where a definition has a check, and only
//! there, init forks a process before it does that, the nursery. It starts one check after the other, by the code that starts payloads, is the parent of all
//! that a check leaves, and kills that; it knows no state. Init asks it, waits for no answer longer than for a while, and counts what it does not get as failed: the
//! payload's root may stop or kill the nursery, and finds nothing in it. A process of ours that executes programs beside a payload could be led to our own file, so where
//! somebody inside is root outside, the shim first executes itself through a read-only mount ([`run::seal`]).
//!
//! What a check connects to on its loopback is systemd's socket in the host's network. The shim opens sockets there beforehand, as for sock_diag; while a check
//! runs, the nursery listens in the container's own network and copies between the two ([`run::health::lead`]). Idleness is not looked at meanwhile.
//!
//! # Proxies and single connections
//!
//! A program that must keep its own sockets has a proxy (`Activation=proxy`). `NAME.socket` activates `NAME-proxy.service`, one for each address
//! in the container; that one wants `NAME.service`, comes after it, and stops with it. There the shim finds init by the control group beside its own, joins its network namespace, waits until
//! somebody listens, gives up every right, and starts systemd-socket-proxyd(8), with which it ends, and the other way round ([`run::proxy`]). It
//! is the one program of Coracle's that stays beside a container, and nothing in there can see it.
//!
//! With `Activation=accept` systemd accepts, and each connection is an instance of the template `NAME@.service` ([`generate::accept`]). It is
//! served once: its instance is not started again, and is forgotten when it has ended, however it ended.
//!
//! Whatever fails a start, its clients wait in the queue for the next try. The one exception are those who have waited for all of a start that was
//! out of time: `ExecStopPost=` notes it down, and the next try closes their connections before it does anything else ([`run::overdue`]).
//!
//! # What changes
//!
//! Nothing remembers what runs but what runs. At its start a container's shim writes down what it was started from: the manifests of its images and a
//! fingerprint of its definition, in a symbolic link that counts for this one run ([`run::record`]). `coracle apply` compares it with the
//! generator's files, and systemd's word on its sockets with the sockets that its process holds ([`systemd::held`]), since after a reload it calls a unit
//! listening whose addresses are new and of which it has opened none. `coracle update` compares it with what the image's name leads to.
//!
//! A container keeps its layers by locks, and with them its image stays whole in the store though its name leads elsewhere by then. So there is a way
//! back as long as there is somebody to go back, and `coracle update` itself holds them while no container does. Going back is a change of the
//! index ([`store::refuse`]): the name leads to the old image, the refused one keeps its digest as a name, with a mark. The next start knows of
//! nothing else and needs nothing else.
//!
//! What one run leaves to the next are descriptors, which systemd keeps. The payload hands them to init, and init to systemd, under names that are no
//! socket's, and only what PID 1 and the shim can hold without asking anybody but the kernel ([`run::stored`]).
//!
//! # The network
//!
//! Where a container has sockets, its network namespace stays empty: the loopback, and no way in or out but systemd's sockets. `Network=`
//! gives it more. A file `NAME.network.toml` defines a bridge; the generator gives it a subnet if it names none, and embeds it in each
//! definition that names it. So there is nothing to make beforehand, and no unit.
//!
//! At the start the shim makes the network namespace with the container's first process, as one that the container's user namespace owns,
//! and has netavark(1) make bridge, interface, addresses and rules before it lends the root. A container's address follows from its
//! unit's name; it is kept from others by a lock on a byte of `/run/coracle/.networks`, as identities are, and another byte tells that
//! the container is alive. netavark takes away only what it is told of again, and only as long as there is the namespace. So a start
//! leaves both in `/run/coracle/networks`: what netavark was told, and a mount of the namespace. `ExecStopPost=` has all torn down whose
//! container is dead, its own and those that somebody else's killed clean-up has left; where netavark itself was killed half-way, it
//! makes everything again in an empty namespace, and then takes it away. With the last container goes what was for all of them.
//!
//! aardvark-dns answers for names. Started by netavark it would be in the first container's control group and end with it; so it is a unit,
//! `coracle-dns.service`, which a path unit starts as soon as netavark has left something to answer, and again when it was killed. The
//! shim waits until its socket is bound. In netavark's place everything else could be done by ourselves; but rules for two
//! firewalls, and those of firewalld, are better off in the one place where all the world mends them.
//!
//! To share another container's namespace, the shim joins it (setns(2) on a pidfd of its main process) before it makes the first process.
//! That one has a user namespace of its own as ever, which does not own the network: sysfs is mounted by the shim, and the lowest
//! port that needs no rights becomes 0 in the shared namespace. To share the user namespace too would give the two each other's identities.
//!
//! Only containers on a bridge pay for it: a start takes netavark's time, some 30 ms with nft(8) and 80 ms with iptables(8), and
//! the first one 50 ms more until the server of names is up.
//!
//! # A container without a file
//!
//! `coracle run` makes a definition of its options, through the same key table and resolver, has the generator's code draft the units, and
//! turns each line of them into a property of a transient unit (StartTransientUnit() of org.freedesktop.systemd1(5)). The resolved
//! definition lies below `/run/coracle/run` until `ExecStopPost=` removes it; one that is left over has no lock and no unit, and the next
//! `coracle run` removes it.
//!
//! In the foreground the unit's standard streams are the caller's own descriptors. A terminal of the caller is never handed on, but copied:
//! through pipes, or through a pseudo-terminal of the container's that becomes the payload's controlling terminal. And the container is bound (`BindsTo=`) to
//! `NAME-client.service`, which reads a pipe that only its client holds open. The kernel closes it however the client ends, `kill -9`
//! included, and systemd does the rest; nothing depends on the client's own doing.
//!
//! # A container for another engine
//!
//! Engines drive containers by a runtime's command line, on a bundle: a directory with a `config.json` and a root. It says everything by
//! itself, which namespaces are new, what is mounted, which rights the payload has; so there is no definition, no image and no init, and the
//! payload is executed in place by the process that has built the container. `oci/plan` makes a plan of it, or says what cannot be carried out.
//! `create` opens what comes from the host and has a process born into the namespaces with it; that one builds the
//! container around itself, with the container's rights and on descriptors, and waits at a socket in the container's directory. The sources of bind mounts
//! it gets one after the other, as detached mounts, so that a container's mounts are listed in the order in which they are written. `start`
//! connects there, and learns whether the program was executed. Both ends see the other's end, so whoever is killed leaves no process; and
//! what else there is to remove stands in the container's record before it is made.
//!
//! Rights are taken on by the same function as in the shim's containers (`run/rights.rs`), programs are looked at by the same
//! (`run/program.rs`), paths are closed by the same (`run/rootfs.rs`), and filters are compiled by the same compiler.
//!
//! # Into a container that runs
//!
//! `coracle exec` asks systemd for the container's init, and the shim goes in ([`run::exec`]): it forks into the unit's control group, joins all
//! namespaces of init in one call, and starts the program by the code that starts payloads, from a plan made in the same way. So rights cannot
//! differ, but the definition is the one of the last reload. Filters that the unit itself was given, by a drop-in, are inherited and can be joined
//! by nobody, so a container under such ones is not entered ([`run::exec::restrictions`]). systemd would rather move the process itself
//! (`AttachProcessesToUnit()`), but does that for units with `Delegate=` only, whose control groups it leaves to their payload; a process that is born where it belongs
//! (`CLONE_INTO_CGROUP`) looks to systemd like any other that the payload has forked.
//!
//! A user cannot look at init any more than the container can, and goes in by the payload ([`run::entrance`]): the owner of a user namespace has
//! all rights over the processes whose memory belongs to it. And out of a session nobody can be born into a unit's group, so the client
//! becomes a scope of the user's manager first.
//!
//! On its way in a process is a copy of the shim that those inside can see. So it is not dumpable, has nothing open that leads out, and the
//! shim's file is executed through a read-only mount without a path. The parent of the program stays outside, watches its client by
//! a pidfd, and kills the program when that one is gone.
//!
//! `coracle-oci` does the same where it joins others ([`oci::seal`]). A start does not, since that would take it a second execution: inside there is
//! nobody yet who could look. Its program's path may still be led to the shim between the look and the exec; the shim, finding itself in a container,
//! does nothing then ([`run::program`]).
//!
//! A terminal, for a payload or for such a program, is made inside, in the container's devpts, and one end of it sent to the client by
//! descriptor. `coracle cp` runs nothing inside: it resolves each path from the container's root by one openat2(2), and works
//! with descriptors from there on, with rights over files and no others; `coracle diff` reads the writable layer as it lies on the host.
//!
//! # Where things lie
//!
//! | path | what | who writes it |
//! | --- | --- | --- |
//! | `/etc/coracle`, `/run/coracle`, `/usr/lib/coracle` | definitions, strongest first; `~/.config/coracle`, `/etc/coracle/users` and `/etc/coracle/users/UID` for a user's manager | people and packages |
//! | `/run/coracle/run` (`$XDG_RUNTIME_DIR/coracle/run`) | the resolved definitions of `coracle run`, each as long as its container lives | `coracle run`; `ExecStopPost=` and the next `coracle run` remove them |
//! | `/run/systemd/generator*` | units and `NAME.json` | the generator, at each reload |
//! | `/var/lib/coracle` (`~/.local/share/coracle`) | the store: an OCI image layout, and `layers/DIFFID/` beside it, each layer unpacked once | `coracle image` |
//! | `/var/lib/coracle/containers/UNIT` | the writable layer of a running container, and its volumes without a name; `ExecStopPost=` removes it, and once a minute what others were killed over | the shim |
//! | `/var/lib/coracle/volumes/NAME` | a volume, as long as nobody removes it; `.new` beside them has what is not complete yet | the shim, `coracle volume`, containers |
//! | `~/.local/share/coracle/kept/UID.GID` | a user's layers once more, for `UserNS=keep-id` | `coracle image keep`, called by the shim |
//! | `/run/coracle/networks`, `/run/coracle/.netavark` | of each container on a bridge what netavark was told and its network namespace; what netavark knows | the shim, netavark; `ExecStopPost=` removes them |
//! | `/run/coracle/.networks` | an empty file whose bytes are locked by those who have an address | the shim |
//! | `/run/coracle/+UNIT` | a link: when a start was out of time, for a minute; `$XDG_RUNTIME_DIR/coracle/+UNIT` for a user | `ExecStopPost=`; the next try takes it |
//! | `/run/coracle/.UNIT` | a link: what a running container was started from; `$XDG_RUNTIME_DIR/coracle/.UNIT` for a user | the shim; `ExecStopPost=` removes it |
//! | `/run/coracle/.identities` | an empty file whose bytes are locked by those who have a range of identities, a writable layer or a volume; its time is that of the last sweep | the shim |
//! | `/run/coracle/oci/NAME` | a container of `coracle-oci`: its record, its `config.json`, and the socket at which it waits to be started; engines name another directory (`--root`) | `coracle-oci` |
//! | `$XDG_RUNTIME_DIR/coracle/.marks` | the same of a user's containers, which have no ranges | the shim |
//! | `/usr/libexec/coracle` | the shim, and `coracle-oci`; each container's root is mounted over this directory, in its own mount namespace | the package |
//!
//! # What does the work
//!
//! A crate is used in the modules named here and in no other, so that what is heavy stays off the start path.
//!
//! | crate | in | does here |
//! | --- | --- | --- |
//! | **toml** | `definition` | definitions, with the place of every key and value |
//! | **serde**, **serde_json** | all | the resolved definition; image manifests; every `--format json` |
//! | **strsim** | `definition` | the nearest known key to a mistyped one |
//! | **clap**, **clap_complete**, **clap_mangen** | `cli`, `oci`, `main` | the command line, its completions, its manual pages. The shim parses its two arguments by hand |
//! | **oci-spec** | `cli`, `plan`, `store` | image manifests and configurations; the plan as a runtime `config.json`. A bundle's own `config.json` is read by `oci` with types that keep its words, so that a wrong one is named with its place |
//! | **nix** | all | system calls |
//! | **libc** | all | constants and structures that nix lacks |
//! | **rustix** | `cli`, `store` | extended attributes and locks, where nix has no such call or wants more of its caller |
//! | **listenfd** | `activation` | takes the sockets. It sets close-on-exec on them, which is undone knowingly where they are handed on |
//! | **sd-notify** | `run` | tells systemd the main process and readiness |
//! | **zbus**, **tokio** | `systemd` | asks systemd for its units' state, makes the units of `coracle run`, changes properties; one thread, never in shim or generator |
//! | **futures-core** | `systemd` | the trait by which zbus hands out signals one by one, and which zbus brings along |
//! | **tracing**, **tracing-journald**, **tracing-subscriber** | `cli` | `coracle` notes in the journal, with fields, what it changes in the store. Not in the generator, which may never wait for journald, nor in the shim, whose standard error is the journal already |
//! | **tar** | `cli`, `store` | layers, and what `coracle cp` streams: reading, writing |
//! | **flate2**, **zstd** | `store` | layers: inflating |
//! | **sha2** | `image` | digests |
//! | **anyhow**, **thiserror** | all | errors where things act; an enum only where a caller branches on it |
//! | **libcgroups** | `systemd` | reads the files of a unit's control group for `coracle stats` and `top`; its readers of single files, since its manager fails where a host lacks a controller |
//!
//! libcontainer is left out on purpose: it wants a bundle on disk, forks twice, and moves the caller into a scope of its own, where this
//! design needs the first process to be systemd's child in systemd's cgroup.

pub mod activation;
pub mod cli;
pub mod definition;
pub mod generate;
pub mod image;
pub mod oci;
pub mod plan;
pub mod run;
pub mod store;
#[allow(unsafe_code)]
pub mod sys;
pub mod systemd;
pub mod threads;
pub mod unitfile;
