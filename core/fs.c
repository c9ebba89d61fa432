#include "fs.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

struct fs_type {
	unsigned type;
	const char *name;
};

/* An allow list: a file system that nobody has tried may lose locks without a word. */
static const struct fs_type local_types[] = {
	{0xEF53, "ext4"},      {0x58465342, "xfs"},      {0x9123683E, "btrfs"}, {0x01021994, "tmpfs"},
	{0x858458F6, "ramfs"}, {0x794C7630, "overlay"},  {0x2FC12FC1, "zfs"},   {0xF2F52010, "f2fs"},
	{0x3153464A, "jfs"},   {0xCA451A4E, "bcachefs"}, {0x3434, "nilfs2"},    {0x24051905, "ubifs"},
};

/* Only to call the refused ones by name. */
static const struct fs_type refused_types[] = {
	{0x6969, "NFS"},      {0x517B, "SMB"},        {0xFF534D42, "CIFS"},   {0xFE534D42, "SMB"},
	{0x01021997, "9p"},   {0x65735546, "FUSE"},   {0x00C36400, "Ceph"},   {0x5346414F, "AFS"},
	{0x6B414653, "AFS"},  {0x01161970, "GFS2"},   {0x7461636F, "OCFS2"},  {0x0BD00BD0, "Lustre"},
	{0x47504653, "GPFS"}, {0x786F4256, "vboxsf"}, {0xBACBACBC, "vmhgfs"}, {0x19830326, "BeeGFS"},
	{0x4D44, "FAT"},      {0x2011BAB0, "exFAT"},  {0x5346544E, "NTFS"},   {0x73757245, "Coda"},
};

static const char *find_type(const struct fs_type *types, size_t count, unsigned type)
{
	for (size_t i = 0; i < count; i++)
		if (types[i].type == type)
			return types[i].name;
	return NULL;
}

int kon_fs_check_type(const char *dir, unsigned type, struct kon_err *err)
{
	if (find_type(local_types, sizeof(local_types) / sizeof(*local_types), type) != NULL)
		return 0;
	const char *name = find_type(refused_types, sizeof(refused_types) / sizeof(*refused_types), type);
	if (name == NULL)
		return kon_err_set(
			err, KON_CONFIG,
			"%s is on a file system of unknown type 0x%x; a database needs a local one, such as ext4, "
			"xfs, btrfs or tmpfs",
			dir, type);
	return kon_err_set(err, KON_CONFIG,
	                   "%s is on %s, where locks and wake-ups do not reach all processes; a database needs a local "
	                   "file system, such as ext4, xfs, btrfs or tmpfs",
	                   dir, name);
}

int kon_fs_check_local(const char *dir, struct kon_err *err)
{
	struct statfs info;
	if (statfs(dir, &info) != 0)
		return kon_err_errno(err, KON_STORE, errno, "cannot look at the file system of %s", dir);
	return kon_fs_check_type(dir, (unsigned)info.f_type, err);
}

int kon_fs_code(int errnum)
{
	switch (errnum) {
	case EACCES:
	case EPERM:
	case EROFS:
		return KON_DENIED;
	case ENOSPC:
	case EDQUOT:
		return KON_FULL;
	default:
		return KON_STORE;
	}
}

char *kon_fs_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (slash == NULL)
		return strdup(".");
	return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

static int make_dir_error(const char *path, int errnum, struct kon_err *err)
{
	int code = kon_fs_code(errnum);
	if (errnum == ENOTDIR || errnum == ENAMETOOLONG || errnum == ELOOP)
		code = KON_CONFIG;
	return kon_err_errno(err, code, errnum, "cannot make the directory %s", path);
}

static bool is_dir(const char *path)
{
	struct stat info;
	return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

int kon_fs_make_dirs(const char *path, struct kon_err *err)
{
	if (is_dir(path)) /* nearly always: then the way there needs no look at each step */
		return 0;
	char *copy = strdup(path);
	if (copy == NULL)
		return kon_err_set(err, KON_SYSTEM, "out of memory");
	int code = 0;
	for (char *cut = copy; code == 0 && cut != NULL;) {
		cut = strchr(cut + 1, '/');
		if (cut != NULL)
			*cut = '\0';
		struct stat info;
		/* Asking first: mkdir on an existing directory of a read-only file system says EROFS. */
		if (stat(copy, &info) == 0) {
			if (!S_ISDIR(info.st_mode))
				code = make_dir_error(copy, ENOTDIR, err);
		} else if (mkdir(copy, 0700) != 0 && errno != EEXIST) {
			code = make_dir_error(copy, errno, err);
		}
		if (cut != NULL)
			*cut = '/';
	}
	free(copy);
	return code;
}
