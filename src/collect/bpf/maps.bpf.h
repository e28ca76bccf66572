/*
 * Makes EVENT_MAP records: an executable mapping with the path of its file.
 */
#ifndef HTRACE_COLLECT_BPF_MAPS_BPF_H
#define HTRACE_COLLECT_BPF_MAPS_BPF_H

#include "collect/bpf/common.bpf.h"

struct path_walk {
	struct dentry *dentry;
	struct mount *mount;
	struct dentry *root_dentry; /* the task's root: a chroot's path ends there */
	struct mount *root_mount;
	u32 used;
};

/* One step from `file` up to the root: its name is added, last first, each with its NUL. */
static long path_step(u32 index, struct path_walk *walk)
{
	struct dentry *dentry = walk->dentry, *parent = BPF_CORE_READ(dentry, d_parent);
	struct mount *mount = walk->mount;
	struct map_scratch *map;
	u32 zero = 0, used = walk->used;
	long bytes;

	if (dentry == walk->root_dentry && mount == walk->root_mount)
		return 1;
	if (dentry == BPF_CORE_READ(mount, mnt.mnt_root) || dentry == parent) {
		struct mount *below = BPF_CORE_READ(mount, mnt_parent);

		if (below == mount)
			return 1;
		walk->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
		walk->mount = below;
		return 0;
	}
	map = bpf_map_lookup_elem(&scratch, &zero);
	if (!map || used >= BPF_PATH_BYTES_MAX)
		return 1;
	bytes =
	    bpf_probe_read_kernel_str(map->path + used, 256, BPF_CORE_READ(dentry, d_name.name));
	if (bytes <= 0)
		return 1;
	walk->used = used + bytes;
	walk->dentry = parent;
	return 0;
}

/* What is taken of a mapping while it cannot change; `file` is only ever read with care. */
struct map_found {
	u64 start, end, page_offset;
	struct file *file;
};

static long map_callback(struct task_struct *task, struct vm_area_struct *vma,
			 struct map_found *found)
{
	found->start = vma->vm_start;
	found->end = vma->vm_end;
	found->page_offset = vma->vm_pgoff;
	found->file = vma->vm_file;
	return 0;
}

static __always_inline struct mount *mount_of(struct vfsmount *vfsmount)
{
	return (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
}

/* File and path of a mapping, into `map`; the path's bytes. */
static __always_inline u32 map_file(struct map_scratch *map, struct task_struct *task,
				    struct file *file)
{
	u32 device = BPF_CORE_READ(file, f_inode, i_sb, s_dev);
	struct path_walk walk = {
	    .dentry = BPF_CORE_READ(file, f_path.dentry),
	    .mount = mount_of(BPF_CORE_READ(file, f_path.mnt)),
	    .root_dentry = BPF_CORE_READ(task, fs, root.dentry),
	    .root_mount = mount_of(BPF_CORE_READ(task, fs, root.mnt)),
	};

	map->event.inode = BPF_CORE_READ(file, f_inode, i_ino);
	map->event.device_major = device >> 20; /* include/linux/kdev_t.h: MINORBITS */
	map->event.device_minor = device & 0xfffff;
	map->event.header.flags |= BPF_MAP_PATH_REVERSED;
	if (!BPF_CORE_READ(file, f_path.dentry, d_hash.pprev))
		map->event.header.flags |= EVENT_MAP_DELETED;
	bpf_loop(BPF_PATH_PARTS_MAX, path_step, &walk, 0);
	return walk.used;
}

/* The mapping could not be looked at: another thread of the process is changing others. */
static __always_inline void map_unread(u64 address)
{
	struct event_map event = {.start = address, .end = address + 1};

	header_fill(&event.header, EVENT_MAP, sizeof(event));
	event.header.flags = BPF_MAP_UNREAD;
	if (bpf_ringbuf_output(&ring, &event, sizeof(event), BPF_RB_FORCE_WAKEUP))
		lost();
	counters.urgent++;
}

static __always_inline void map_record(struct task_struct *task, u64 address, u16 flags)
{
	u32 zero = 0, size = sizeof(struct event_map);
	struct map_scratch *map = bpf_map_lookup_elem(&scratch, &zero);
	struct map_found found = {0};

	if (!map) {
		lost();
		return;
	}
	if (bpf_find_vma(task, address, map_callback, &found, 0)) {
		map_unread(address);
		return;
	}
	header_fill(&map->event.header, EVENT_MAP, 0);
	map->event.header.flags = flags;
	map->event.start = found.start;
	map->event.end = found.end;
	map->event.file_offset = found.page_offset << 12;
	map->event.inode = 0;
	map->event.device_major = map->event.device_minor = 0;
	map->event.path_size = 0;
	map->event.reserved = 0;
	if (found.file) {
		u32 bytes = map_file(map, task, found.file);

		map->event.path_size = bytes;
		size += (bytes + 7) & ~7u;
	}
	map->event.header.size = size;
	if (size > sizeof(struct map_scratch) ||
	    bpf_ringbuf_output(&ring, map, size, BPF_RB_FORCE_WAKEUP))
		lost();
	counters.urgent++;
}

static __always_inline void map_vdso(struct task_struct *task)
{
	struct event_map event = {0};

	event.start = task->mm ? (u64)task->mm->context.vdso : 0;
	if (!event.start)
		return;
	header_fill(&event.header, EVENT_MAP, sizeof(event));
	event.header.flags = EVENT_MAP_VDSO;
	event.end = event.start + 4096; /* the user half knows its size */
	if (bpf_ringbuf_output(&ring, &event, sizeof(event), BPF_RB_NO_WAKEUP))
		lost();
}

/* mmap answers with the address, mprotect and pkey_mprotect take it; prot is the third argument. */
static __always_inline void mapping_changed(struct task_struct *task, struct pt_regs *regs,
					    s64 result)
{
	if (result < 0 || !(regs->dx & PROT_EXEC_BIT))
		return;
	map_record(task, result ? (u64)result : regs->di, 0);
	mappings_changed(task->tgid);
}

#endif
