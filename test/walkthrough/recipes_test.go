// SPDX-License-Identifier: Apache-2.0

package walkthrough

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"elsa/internal/kerneltest"
)

// recipe is what a recipe of docs/recipes.md needs to be tried, and must show.
type recipe struct {
	name string
	// prepare runs before its first command, between before its last one: what happens
	// on a machine where it is of use.
	prepare, between string
	want             []string // of its output, regular expressions
}

// inCgroup runs a shell as a user in a control group of the machine's.
func inCgroup(path, user string) string {
	return fmt.Sprintf("mkdir -p $cgroups%[1]s; made=\"$cgroups%[1]s $made\"; sh -c 'echo $$ > '$cgroups%[1]s'/cgroup.procs; "+
		"exec setpriv --reuid %[2]s --clear-groups sh -c \"/bin/true; /bin/true\"'\n", path, user)
}

const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

var recipes = []recipe{
	{"users", "", "setpriv --reuid alice --clear-groups sh -c '/bin/true; /bin/true'", []string{`USER +`, `user/alice +open +0 +3`}},
	{"ci", "", `setpriv --reuid gitlab-runner --clear-groups env GITLAB_CI=true CI_JOB_ID=77 CI_PROJECT_PATH=core/app sh -c 'sleep 0.3; /bin/true; /bin/true'
setpriv --reuid alice --clear-groups env GITLAB_CI=true CI_JOB_ID=78 CI_PROJECT_PATH=core/app sh -c 'sleep 0.3'`,
		[]string{`ci/gitlab/core/app/77 +open +0 +4`}},
	{"service", "cp /bin/sleep /usr/bin/nginx; nginx 1000 & sleep 0.1", "", []string{`web +open +1`}},
	{"units", "mkdir -p $cgroups/system.slice/nginx.service; made=\"$cgroups/system.slice/nginx.service $made\"", inCgroup("/system.slice/nginx.service", "alice"), []string{`unit/nginx +open +0 +\d`}},
	{"containers", "", inCgroup("/system.slice/docker-"+id+".scope", "root") +
		inCgroup("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod12_34.slice/cri-containerd-"+id+".scope", "root"),
		[]string{`docker/0123456789ab +open`, `pod/12_34 +open`, `container/0123456789ab +open`}},
	{"slurm", "", inCgroup("/system.slice/slurmstepd.scope/job_4711/step_0", "alice"), []string{`slurm/job/4711 `, `slurm/user/alice `}},
	{"hour", "", "", []string{`USER +PROCESSES`}},
	{"commands", "pkill -P $$ -x nginx; elsactl usage --wait > /run/out", "", []string{`nginx +1`}},
	{"tree", "sh -c 'echo $$ > /run/tree; /bin/true; /bin/true'; PID=$(cat /run/tree); elsactl usage --wait > /run/out; sleep 1.5", "", []string{`true`, `sh`}},
	{"split", "", "", []string{`(?m)^group second$`}},
	{"mark", "", "/bin/true; /bin/true", []string{`mark-\d+T\d+-\d+ +open +\d+ +[3-9] `}},
	{"month", "", "", []string{`"user/alice",\d`, `"web",`}},
	{"hosts", "prometheus --config.file /usr/share/elsa/prometheus/elsa.scrape.yml --storage.tsdb.path /run/metrics --web.listen-address 127.0.0.1:9944 2> /dev/null &\n" +
		`until promtool query instant http://localhost:9944 'elsa_group_cpu_seconds_total{group="web"}' 2> /dev/null | grep -q web; do sleep 0.5; done`, "", []string{`SUCCESS`, `group="web"} =>`}},
	{"alert", "mkdir -p /etc/prometheus", "", []string{`SUCCESS: \d+ rules found`}},
	{"budget", "", "", []string{`(?m)^true$`}},
	{"past", "", "", []string{`DAY +PROCESSES`, `(?m)^since,until.*\n.*,day,`}},
	{"order", "elsactl group remove second $$", "", nil},
	{"backup", "mkdir -p /var/backups", "", []string{`elsa.db: \d`}},
	{"restore", "kill $elsad; wait $elsad", "", []string{`restored, \d+ groups`}},
}

// Each recipe takes three commands at most, and does what it says.
func TestKernelRecipes(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root, kerneltest.InitNamespaces, kerneltest.ProcEvents, kerneltest.BSDAcct,
		kerneltest.Program("promtool", "prometheus"), kerneltest.Program("prometheus", "prometheus"), kerneltest.Program("jq", "jq"))
	try(t, "", recipes)
}

// sessions are real: a login by ssh, and a job of cron.
var sessions = []recipe{{"sessions", `for d in $DEBS/*.deb; do dpkg-deb -x $d /run/debs; done
cp /run/debs/usr/sbin/sshd /run/debs/usr/sbin/cron /usr/sbin/; cp -a /run/debs/etc/pam.d/cron /etc/pam.d/
echo 'session optional pam_exec.so /usr/share/elsa/pam-session' >> /etc/pam.d/cron
cp -an /run/debs/usr/lib/x86_64-linux-gnu/. /run/debs/lib/x86_64-linux-gnu/. /usr/lib/x86_64-linux-gnu/ 2> /dev/null || true
id sshd > /dev/null 2>&1 || useradd -r -d /run/sshd sshd
mount -t tmpfs elsa-walk /var/spool; mkdir -p /var/spool/cron/crontabs; groupadd -f crontab
mkdir -p /run/sshd /home/alice /etc/ssh; chmod 755 /run/sshd
ssh-keygen -q -t ed25519 -N "" -f /run/host; ssh-keygen -q -t ed25519 -N "" -f /run/key; usermod -p '*' alice`,
	`/usr/sbin/sshd -D -f /dev/null -p 9945 -h /run/host -o ListenAddress=127.0.0.1 -o UsePAM=no -o StrictModes=no -o AuthorizedKeysFile=/run/key.pub -o PidFile=none & sshd=$!
until (exec 3<> /dev/tcp/127.0.0.1/9945) 2> /dev/null; do sleep 0.1; done
chmod 644 /run/key.pub
ssh -q -p 9945 -i /run/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null alice@127.0.0.1 'sleep 0.2; /bin/true; /bin/true'
printf '* * * * * bob /bin/true; /bin/true; /bin/true\n' > /etc/cron.d/walk; useradd -M bob
/usr/sbin/cron -f & cron=$!
n=0; until elsactl usage cron/bob 2> /dev/null | grep -q ' 4 '; do n=$((n+1)); [ $n -lt 150 ]; sleep 0.5; done
kill $cron $sshd`,
	[]string{`ssh/alice +open +0 +[45]`, `cron/bob +open +0 +4 `, `sshd +`, `crond +`, `session/cron/bob +open +0 +[4-9] `}}}

func TestKernelSessions(t *testing.T) {
	debs := t.TempDir()
	kerneltest.Need(t, kerneltest.Root, kerneltest.InitNamespaces, kerneltest.ProcEvents, kerneltest.BSDAcct, kerneltest.Program("ssh", "openssh-client"),
		kerneltest.Requirement{Name: "packages of sshd and cron", Probe: func() error {
			cmd := exec.Command("apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", "openssh-server", "cron", "libwrap0")
			cmd.Dir = debs
			out, err := cmd.CombinedOutput()
			if err != nil {
				return fmt.Errorf("apt-get download: %w: %s", err, out)
			}
			return nil
		}}, freePort("9945"))
	try(t, debs, sessions)
}

// try runs recipes as docs/recipes.md has them.
func try(t *testing.T, debs string, recipes []recipe) {
	kerneltest.LockAccounting(t)
	kerneltest.Need(t, freePort("9943"), freePort("9944"))
	text, err := os.ReadFile("../../docs/recipes.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := map[string][]string{}
	for _, m := range regexp.MustCompile("(?s)<!-- recipe: ([a-z]+) -->\n```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		commands[m[1]] = strings.Split(strings.TrimSpace(m[2]), "\n")
		if len(commands[m[1]]) > 3 {
			t.Errorf("recipe %s takes %d commands", m[1], len(commands[m[1]]))
		}
	}
	var script strings.Builder
	fmt.Fprintf(&script, "DEBS=%s\n", debs)
	script.WriteString(`useradd -M alice; useradd -M gitlab-runner
cgroups=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts); made=
trap 'kill $(jobs -p) 2>/dev/null; wait; for c in $made; do while [ $c != $cgroups ] && rmdir $c 2>/dev/null; do c=$(dirname $c); done; done' EXIT
make -s install > /dev/null
elsad --config /etc/elsa/elsa.yaml --journal on --archive-dir /var/lib/elsa-archive & elsad=$!
n=0; until elsactl status > /dev/null 2>&1; do n=$((n+1)); [ $n -lt 100 ]; sleep 0.1; done
`)
	for _, r := range recipes {
		lines := commands[r.name]
		if lines == nil {
			t.Fatalf("docs/recipes.md has no recipe %s", r.name)
		}
		last := len(lines) - 1
		fmt.Fprintf(&script, "echo '=== %s'\n%s\n", r.name, r.prepare)
		fmt.Fprintf(&script, "%s\n", strings.Join(lines[:last], "\n"))
		if r.between != "" { // elsad reads the rules, and what ended is counted
			fmt.Fprintf(&script, "sleep 0.5\n%s\nelsactl usage --wait > /run/out\n", r.between)
		}
		if r.name == "budget" { // that it tells when it is over
			fmt.Fprintf(&script, "if %s; then echo not told; exit 1; fi\n", strings.Replace(lines[last], "< 100", "< 0", 1))
		}
		fmt.Fprintf(&script, "%s\n", strings.ReplaceAll(lines[last], ":9090", ":9944"))
	}
	out := inOwnMachine(t, script.String())
	for i, r := range recipes {
		_, part, found := strings.Cut(out, "=== "+r.name+"\n")
		if i+1 < len(recipes) {
			part, _, _ = strings.Cut(part, "=== "+recipes[i+1].name+"\n")
		}
		if !found {
			t.Errorf("recipe %s was not reached", r.name)
		}
		for _, want := range r.want {
			if !regexp.MustCompile(want).MatchString(part) {
				t.Errorf("recipe %s: the output has no %q:\n%s", r.name, want, part)
			}
		}
		if strings.Contains(part, "app/78") {
			t.Error("who copies the variables of a job is in a group of it")
		}
	}
	t.Logf("%s", out)
}
