// How many threads make sense.
#ifndef WELFORD_BASE_CORES_H
#define WELFORD_BASE_CORES_H

// Cores that this process may use: affinity mask and cgroup (v1 and v2) CPU quota, at least 1.
int cores_usable(void);

// Cores that the CPU quota of this process's cgroups allows, rounded up; 0: no limit. `proc_cgroup` has the form of
// /proc/self/cgroup, `mount` of /sys/fs/cgroup: cores_usable gives these, tests give others.
int cores_quota(const char *proc_cgroup, const char *mount);

#endif
