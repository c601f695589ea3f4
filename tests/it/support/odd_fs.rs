// SPDX-License-Identifier: Apache-2.0
//! A file system in user space that passes everything on to a directory and lacks what is set in `Odd`: hard links, a rename that
//! replaces nothing, a sync of directories, lasting inode numbers, a size. It speaks the protocol of `/dev/fuse` itself, so that no
//! library is needed. Needs root, and a machine that lets root mount.
//!
//! The protocol is in the kernel, include/uapi/linux/fuse.h; this is version 7.31.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use nix::errno::Errno;

use super::require;

/// What the file system is like.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Odd {
    /// The error of a hard link.
    pub(crate) link: Option<Errno>,
    /// The error of a rename with a flag.
    pub(crate) rename_noreplace: Option<Errno>,
    /// The error of any rename.
    pub(crate) rename: Option<Errno>,
    /// The error of a sync of a directory.
    pub(crate) sync_dir: Option<Errno>,
    /// The error of a sync of a file.
    pub(crate) sync_file: Option<Errno>,
    /// Each name of a file has an inode number of its own, as with libfuse without `use_ino`.
    pub(crate) no_lasting_inode: bool,
    /// It does not tell its size.
    pub(crate) no_size: bool,
    /// A write takes this many bytes at most.
    pub(crate) short_writes: Option<usize>,
    /// Every file is open to all, whatever its mode, and a mode cannot be set.
    pub(crate) no_modes: bool,
}

/// The mounted file system.
#[derive(Debug)]
pub(crate) struct OddFs {
    dir: tempfile::TempDir,
    odd: Arc<Mutex<Odd>>,
}

impl OddFs {
    /// Mounts it over an empty directory.
    pub(crate) fn mount(odd: Odd) -> Result<OddFs, String> {
        require::root()?;
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse");
        let device = device.map_err(|e| format!("needs /dev/fuse: {e}"))?;
        let dir = tempfile::tempdir().unwrap();
        let fs = OddFs { dir, odd: Arc::new(Mutex::new(odd)) };
        fs::create_dir(fs.behind()).unwrap();
        fs::create_dir(fs.path()).unwrap();
        let options = "fd=0,rootmode=40000,user_id=0,group_id=0,allow_other";
        let mut mount = Command::new("mount");
        mount
            .args(["-i", "-t", "fuse", "-o", options, "odd"])
            .arg(fs.path())
            .stdin(device.try_clone().unwrap());
        let done = mount.output().map_err(|e| format!("needs mount: {e}"))?;
        if !done.status.success() {
            return Err(format!("needs a mount of FUSE: {}", String::from_utf8_lossy(&done.stderr).trim()));
        }
        let mut server = Server {
            device,
            odd: Arc::clone(&fs.odd),
            paths: BTreeMap::from([(1, fs.behind())]),
            files: BTreeMap::new(),
            next: 2,
        };
        std::thread::spawn(move || server.serve());
        Ok(fs)
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("mount")
    }

    /// The directory behind it.
    pub(crate) fn behind(&self) -> PathBuf {
        self.dir.path().join("behind")
    }

    /// Makes it another one.
    pub(crate) fn set(&self, odd: Odd) {
        *self.odd.lock().unwrap() = odd;
    }

    /// Its server is gone: each call fails, as on a network file system whose connection is lost.
    pub(crate) fn abort(&self) {
        let id = fs::metadata(self.path()).unwrap().dev();
        let abort = format!("/sys/fs/fuse/connections/{}/abort", nix::sys::stat::minor(id));
        if fs::write(&abort, "1").is_err() {
            let control = Path::new("/sys/fs/fuse/connections");
            let _ = Command::new("mount").args(["-t", "fusectl", "none"]).arg(control).status();
            fs::write(&abort, "1").unwrap();
        }
    }
}

impl Drop for OddFs {
    fn drop(&mut self) {
        // Lazily: a child that still has a file open there must not keep the mount alive.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

struct Server {
    device: File,
    odd: Arc<Mutex<Odd>>,
    paths: BTreeMap<u64, PathBuf>,
    /// By handle: the node, and the file.
    files: BTreeMap<u64, (u64, File)>,
    next: u64,
}

/// The fields of a message, in their order.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn u32(&mut self) -> u32 {
        let (head, rest) = self.0.split_at(4);
        self.0 = rest;
        u32::from_le_bytes(head.try_into().unwrap())
    }

    fn u64(&mut self) -> u64 {
        let (head, rest) = self.0.split_at(8);
        self.0 = rest;
        u64::from_le_bytes(head.try_into().unwrap())
    }

    fn name(&mut self) -> &'a OsStr {
        let end = self.0.iter().position(|b| *b == 0).unwrap();
        let (name, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        OsStr::from_bytes(name)
    }
}

/// An answer.
#[derive(Default)]
struct Out(Vec<u8>);

impl Out {
    fn u16(mut self, value: u16) -> Out {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u32(mut self, value: u32) -> Out {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Out {
        self.0.extend(value.to_le_bytes());
        self
    }
}

fn errno(e: io::Error) -> Errno {
    e.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

fn refuse(e: Option<Errno>) -> Result<(), Errno> {
    e.map_or(Ok(()), Err)
}

impl Server {
    fn serve(&mut self) {
        let mut buffer = vec![0; (1 << 20) + 4096];
        // Ends when it is unmounted.
        while let Ok(n) = self.device.read(&mut buffer) {
            let mut head = Fields(&buffer[..n]);
            let (_, opcode, unique, node) = (head.u32(), head.u32(), head.u64(), head.u64());
            let body = &buffer[40..n];
            // There is no answer to FORGET, BATCH_FORGET and INTERRUPT.
            if [2, 42, 36].contains(&opcode) {
                continue;
            }
            let answer = self.answer(opcode, node, Fields(body));
            let (error, content) = answer.map_or_else(|e| (-(e as i32), vec![]), |out| (0, out.0));
            let length = 16 + content.len() as u32;
            let mut message = length.to_le_bytes().to_vec();
            message.extend(error.to_le_bytes());
            message.extend(unique.to_le_bytes());
            message.extend(content);
            let _ = self.device.write(&message);
        }
    }

    fn answer(&mut self, opcode: u32, node: u64, mut body: Fields<'_>) -> Result<Out, Errno> {
        let odd = *self.odd.lock().unwrap();
        match opcode {
            1 => self.entry(&self.path(node)?.join(body.name())),
            3 => {
                let (flags, _, handle) = (body.u32(), body.u32(), body.u64());
                let meta = match self.files.get(&handle).filter(|_| flags & 1 != 0) {
                    Some((_, file)) => file.metadata(),
                    None => self.look(node),
                };
                Ok(self.attributes(node, &meta.map_err(errno)?))
            }
            4 => self.set(node, body, odd),
            5 => Ok(Out(fs::read_link(self.path(node)?).map_err(errno)?.as_os_str().as_bytes().to_vec())),
            9 => {
                let (mode, _, path) = (body.u32(), body.u32(), self.path(node)?.join(body.name()));
                fs::DirBuilder::new().mode(mode).create(&path).map_err(errno)?;
                self.entry(&path)
            }
            10 => {
                let path = self.path(node)?.join(body.name());
                fs::remove_file(&path).map_err(errno)?;
                // The node stays for who has the file open, under a name that no look finds.
                self.paths.values_mut().filter(|p| **p == path).for_each(|p| p.push("gone"));
                Ok(Out::default())
            }
            11 => fs::remove_dir(self.path(node)?.join(body.name())).map(|()| Out::default()).map_err(errno),
            12 | 45 => self.rename(opcode, node, body, odd),
            13 => {
                let (old, name) = (self.path(body.u64())?, body.name());
                refuse(odd.link)?;
                let new = self.path(node)?.join(name);
                fs::hard_link(old, &new).map_err(errno)?;
                self.entry(&new)
            }
            14 => {
                let path = self.path(node)?;
                self.open(node, &path, body.u32(), None)
            }
            15 => {
                let (handle, offset, size) = (body.u64(), body.u64(), body.u32());
                let mut bytes = vec![0; size as usize];
                let n = self.file(handle)?.read_at(&mut bytes, offset).map_err(errno)?;
                bytes.truncate(n);
                Ok(Out(bytes))
            }
            16 => {
                let (handle, offset, size) = (body.u64(), body.u64(), body.u32() as usize);
                let size = odd.short_writes.map_or(size, |most| size.min(most));
                let n = self.file(handle)?.write_at(&body.0[20..20 + size], offset).map_err(errno)?;
                Ok(Out::default().u32(n as u32).u32(0))
            }
            17 => self.size(odd),
            18 | 29 => {
                self.files.remove(&body.u64());
                Ok(Out::default())
            }
            20 => {
                refuse(odd.sync_file)?;
                self.file(body.u64())?.sync_all().map(|()| Out::default()).map_err(errno)
            }
            25 | 34 => Ok(Out::default()),
            26 => {
                let ahead = (body.u32(), body.u32(), body.u32()).2;
                let out = Out::default().u32(7).u32(31).u32(ahead).u32(0).u16(12).u16(9).u32(1 << 20).u32(1);
                Ok((0..9).fold(out, |out, _| out.u32(0)))
            }
            27 => Ok(Out::default().u64(0).u32(0).u32(0)),
            28 => self.entries(node, body),
            30 => refuse(odd.sync_dir).map(|()| Out::default()),
            35 => {
                let (flags, mode) = (body.u32(), body.u32());
                let _umask_and_flags = body.u64();
                let path = self.path(node)?.join(body.name());
                let opened = self.open(0, &path, flags | nix::libc::O_CREAT as u32, Some(mode))?;
                let handle = self.next;
                let mut entry = self.entry(&path)?;
                let node = Fields(&entry.0).u64();
                self.files.get_mut(&handle).unwrap().0 = node;
                entry.0.extend(opened.0);
                Ok(entry)
            }
            _ => Err(Errno::ENOSYS),
        }
    }

    fn path(&self, node: u64) -> Result<PathBuf, Errno> {
        self.paths.get(&node).cloned().ok_or(Errno::ESTALE)
    }

    fn file(&self, handle: u64) -> Result<&File, Errno> {
        self.files.get(&handle).map(|(_, file)| file).ok_or(Errno::EBADF)
    }

    /// What a node is. An open file is known after its name is gone, too.
    fn look(&self, node: u64) -> io::Result<Metadata> {
        let path = self.paths.get(&node).ok_or(io::ErrorKind::NotFound)?;
        fs::symlink_metadata(path).or_else(|e| match self.files.values().find(|(of, _)| *of == node) {
            Some((_, file)) => file.metadata(),
            None => Err(e),
        })
    }

    /// One node for each name.
    fn entry(&mut self, path: &Path) -> Result<Out, Errno> {
        let meta = fs::symlink_metadata(path).map_err(errno)?;
        let known = self.paths.iter().find(|(_, p)| *p == path).map(|(node, _)| *node);
        let node = known.unwrap_or_else(|| {
            self.next += 1;
            self.paths.insert(self.next, path.to_owned());
            self.next
        });
        let out = Out::default().u64(node).u64(0).u64(0).u64(0).u32(0).u32(0);
        Ok(self.attribute(out, node, &meta))
    }

    fn attributes(&self, node: u64, meta: &Metadata) -> Out {
        self.attribute(Out::default().u64(0).u32(0).u32(0), node, meta)
    }

    fn attribute(&self, out: Out, node: u64, meta: &Metadata) -> Out {
        let odd = *self.odd.lock().unwrap();
        let inode = if odd.no_lasting_inode { node } else { meta.ino() };
        let mode = if odd.no_modes { meta.mode() | 0o777 } else { meta.mode() };
        let out = out.u64(inode).u64(meta.size()).u64(meta.blocks());
        let out = out.u64(meta.atime() as u64).u64(meta.mtime() as u64).u64(meta.ctime() as u64);
        let out =
            out.u32(meta.atime_nsec() as u32).u32(meta.mtime_nsec() as u32).u32(meta.ctime_nsec() as u32);
        let out = out.u32(mode).u32(meta.nlink() as u32).u32(meta.uid()).u32(meta.gid());
        out.u32(0).u32(4096).u32(0)
    }

    fn set(&mut self, node: u64, mut body: Fields<'_>, odd: Odd) -> Result<Out, Errno> {
        const MODE: u32 = 1;
        const SIZE: u32 = 8;
        const HANDLE: u32 = 64;
        let (valid, _, handle, size) = (body.u32(), body.u32(), body.u64(), body.u64());
        let mode = Fields(&body.0[44..]).u32();
        let path = self.path(node)?;
        let open = self.files.get(&handle).filter(|_| valid & HANDLE != 0).map(|(_, file)| file);
        if valid & SIZE != 0 {
            match open {
                Some(file) => file.set_len(size),
                None => OpenOptions::new().write(true).open(&path).and_then(|f| f.set_len(size)),
            }
            .map_err(errno)?;
        }
        if valid & MODE != 0 {
            refuse(odd.no_modes.then_some(Errno::EPERM))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode & 0o7777)).map_err(errno)?;
        }
        let meta = match open {
            Some(file) => file.metadata(),
            None => self.look(node),
        };
        Ok(self.attributes(node, &meta.map_err(errno)?))
    }

    fn rename(&mut self, opcode: u32, node: u64, mut body: Fields<'_>, odd: Odd) -> Result<Out, Errno> {
        let to = self.path(body.u64())?;
        let flags = if opcode == 45 { (body.u32(), body.u32()).0 } else { 0 };
        let (old, new) = (self.path(node)?.join(body.name()), to.join(body.name()));
        refuse(odd.rename)?;
        if flags != 0 {
            refuse(odd.rename_noreplace)?;
            // Of the flags, only this one is used: RENAME_NOREPLACE.
            if flags != 1 || new.symlink_metadata().is_ok() {
                return Err(if flags == 1 { Errno::EEXIST } else { Errno::EINVAL });
            }
        }
        fs::rename(&old, &new).map_err(errno)?;
        self.paths.retain(|_, path| *path != new);
        self.paths.values_mut().filter(|path| **path == old).for_each(|path| *path = new.clone());
        Ok(Out::default())
    }

    fn open(&mut self, node: u64, path: &Path, flags: u32, mode: Option<u32>) -> Result<Out, Errno> {
        let flags = flags as i32;
        let access = flags & nix::libc::O_ACCMODE;
        let mut options = OpenOptions::new();
        options.read(access != nix::libc::O_WRONLY).write(access != nix::libc::O_RDONLY);
        options.custom_flags(flags & (nix::libc::O_TRUNC | nix::libc::O_CREAT | nix::libc::O_EXCL));
        let file = options.mode(mode.unwrap_or(0o600)).open(path).map_err(errno)?;
        self.next += 1;
        self.files.insert(self.next, (node, file));
        Ok(Out::default().u64(self.next).u32(0).u32(0))
    }

    fn size(&self, odd: Odd) -> Result<Out, Errno> {
        let stat = nix::sys::statvfs::statvfs(&self.path(1)?)?;
        let (all, free) = if odd.no_size { (0, 0) } else { (stat.blocks(), stat.blocks_available()) };
        let out = Out::default().u64(all).u64(free).u64(free).u64(1 << 20).u64(1 << 20);
        let out = out.u32(4096).u32(255).u32(stat.fragment_size() as u32);
        Ok((0..7).fold(out, |out, _| out.u32(0)))
    }

    fn entries(&mut self, node: u64, mut body: Fields<'_>) -> Result<Out, Errno> {
        let (_, offset, size) = (body.u64(), body.u64(), body.u32() as usize);
        let mut names: Vec<_> =
            fs::read_dir(self.path(node)?).map_err(errno)?.map(|e| e.unwrap().file_name()).collect();
        names.sort();
        let mut out = Out::default();
        for (i, name) in names.iter().enumerate().skip(offset as usize) {
            let length = (24 + name.len()).next_multiple_of(8);
            if out.0.len() + length > size {
                break;
            }
            let end = out.0.len() + length;
            out = out.u64(u64::MAX).u64(i as u64 + 1).u32(name.len() as u32).u32(0);
            out.0.extend(name.as_bytes());
            out.0.resize(end, 0);
        }
        Ok(out)
    }
}
