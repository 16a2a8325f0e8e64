// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// process has what the rules of the sets ask for.
type process struct {
	command, user, exe, cgroup string
	groups                     []string
	env                        map[string]string
}

func (p process) Command() string           { return p.command }
func (p process) UID() uint32               { return 4711 }
func (p process) GID() uint32               { return 4711 }
func (p process) User() string              { return p.user }
func (p process) UnixGroup() string         { return p.user }
func (p process) IsUser(name string) bool   { return name == p.user }
func (p process) IsUnixGroup(n string) bool { return n == p.user }
func (p process) Executable() string        { return p.exe }
func (p process) Cgroup() string            { return p.cgroup }
func (p process) Args() string              { return "" }
func (p process) Groups() []string          { return p.groups }
func (p process) Unseen() bool              { return false }
func (p process) Late() bool                { return false }
func (p process) Pending() bool             { return false }
func (p process) Env(name string) (v []string) {
	if s, ok := p.env[name]; ok {
		v = []string{s}
	}
	return v
}

// Each set names the groups of processes as they are on real machines, and nobody gets in a
// group by saying to be what the set is about.
func TestSets(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	gitlab := map[string]string{"CI": "true", "GITLAB_CI": "true", "CI_JOB_ID": "77", "CI_PROJECT_PATH": "core/app"}
	for _, tt := range []struct {
		set, name string
		p         process
		want      []string
	}{
		{"users", "a user", process{user: "alice", command: "bash"}, []string{"user/alice"}},
		{"users", "root", process{user: "root", command: "bash"}, nil},
		{"sessions", "sshd", process{user: "root", exe: "/usr/sbin/sshd"}, []string{"sshd"}},
		{"sessions", "OpenSSH 9.8", process{user: "root", exe: "/usr/lib/openssh/sshd-session"}, []string{"sshd"}},
		{"sessions", "a user's own sshd", process{user: "alice", exe: "/usr/sbin/sshd"}, nil},
		{"sessions", "a login", process{user: "alice", groups: []string{"sshd"}, env: map[string]string{"SSH_CONNECTION": "192.0.2.1 5 192.0.2.2 22"}}, []string{"ssh/alice"}},
		{"sessions", "a copied variable", process{user: "alice", env: map[string]string{"SSH_CONNECTION": "x"}}, nil},
		{"sessions", "cron", process{user: "root", exe: "/usr/sbin/cron"}, []string{"crond"}},
		{"sessions", "a job of cron", process{user: "bob", command: "sh", groups: []string{"crond"}}, []string{"cron/bob"}},
		{"sessions", "a shell elsewhere", process{user: "bob", command: "sh"}, nil},
		{"units", "a service", process{user: "www-data", cgroup: "/system.slice/nginx.service"}, []string{"unit/nginx"}},
		{"units", "an instance", process{cgroup: "/system.slice/system-getty.slice/getty@tty1.service"}, []string{"unit/getty@tty1"}},
		{"units", "within a service", process{cgroup: "/system.slice/a.service/b.service"}, []string{"unit/a"}},
		{"units", "a user's unit", process{cgroup: "/user.slice/user-1000.slice/user@1000.service/app.slice/x.service"}, nil},
		{"ci", "GitLab", process{user: "gitlab-runner", env: gitlab}, []string{"ci/gitlab/core/app/77"}},
		{"ci", "GitLab's variables of another user", process{user: "eve", env: gitlab}, nil},
		{"ci", "GitHub", process{user: "runner", env: map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "9", "GITHUB_JOB": "test", "GITHUB_REPOSITORY": "o/r"}}, []string{"ci/github/o/r/9-test"}},
		{"ci", "Jenkins", process{user: "jenkins", env: map[string]string{"JENKINS_URL": "http://j/", "BUILD_NUMBER": "5", "JOB_NAME": "app"}}, []string{"ci/jenkins/app/5"}},
		{"ci", "Buildkite", process{user: "buildkite-agent", env: map[string]string{"BUILDKITE": "true", "BUILDKITE_JOB_ID": "u-1", "BUILDKITE_PIPELINE_SLUG": "app"}}, []string{"ci/buildkite/app/u-1"}},
		{"containers", "Docker", process{cgroup: "/system.slice/docker-" + id + ".scope"}, []string{"docker/0123456789ab"}},
		{"containers", "podman", process{cgroup: "/machine.slice/libpod-" + id + ".scope/container"}, []string{"podman/0123456789ab"}},
		{"containers", "podman without root", process{user: "alice", cgroup: "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + id + ".scope/container"}, []string{"podman/alice/0123456789ab"}},
		{"containers", "Kubernetes, containerd", process{cgroup: "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12ab_34.slice/cri-containerd-" + id + ".scope"}, []string{"pod/12ab_34", "container/0123456789ab"}},
		{"containers", "Kubernetes, CRI-O", process{cgroup: "/kubepods.slice/kubepods-pod12ab_34.slice/crio-" + id + ".scope"}, []string{"pod/12ab_34", "container/0123456789ab"}},
		{"containers", "Kubernetes without systemd", process{cgroup: "/kubepods/burstable/pod12ab-34/" + id}, []string{"pod/12ab-34"}},
		{"containers", "systemd-nspawn", process{cgroup: "/machine.slice/systemd-nspawn@web.service/payload"}, []string{"machine/web"}},
		{"containers", "a machine", process{cgroup: "/machine.slice/machine-db.scope"}, []string{"machine/db"}},
		{"containers", "a name that a user made", process{user: "eve", cgroup: "/user.slice/user-7.slice/user@7.service/docker-" + id + ".scope"}, nil},
		{"slurm", "a job", process{user: "alice", cgroup: "/system.slice/slurmstepd.scope/job_12/step_0/user/task_0"}, []string{"slurm/job/12", "slurm/user/alice"}},
		{"slurm", "several slurmd", process{user: "alice", cgroup: "/system.slice/n1_slurmstepd.scope/job_12/step_batch"}, []string{"slurm/job/12", "slurm/user/alice"}},
		{"slurm", "control groups of version 1", process{user: "alice", cgroup: "/slurm/uid_1000/job_12/step_0"}, []string{"slurm/job/12", "slurm/user/alice"}},
		{"slurm", "slurmstepd", process{user: "root", cgroup: "/system.slice/slurmstepd.scope/job_12/step_0/slurm"}, []string{"slurm/job/12"}},
		{"slurm", "a user's own job", process{user: "eve", cgroup: "/user.slice/user-7.slice/user@7.service/slurmstepd.scope/job_12"}, nil},
	} {
		t.Run(tt.set+"/"+tt.name, func(t *testing.T) {
			var got []string
			found, _ := parse(t, enable(t, File, tt.set)).Match(tt.p)
			for _, m := range found {
				got = append(got, m.Group)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("groups (-want +got):\n%s", diff)
			}
		})
	}
}
