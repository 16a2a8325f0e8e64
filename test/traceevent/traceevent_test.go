// SPDX-License-Identifier: Apache-2.0

package traceevent

import (
	"strings"
	"testing"
)

// TestCheck: the check can fail.
func TestCheck(t *testing.T) {
	good := `{"traceEvents":[
{"ph":"M","pid":2,"tid":0,"ts":0.000,"name":"process_name","args":{"name":"x"}},
{"ph":"M","pid":2,"tid":1,"ts":0.000,"name":"thread_name","args":{"name":"x"}},
{"ph":"X","pid":2,"tid":1,"ts":0.000,"dur":10.000,"name":"a","args":{}},
{"ph":"X","pid":2,"tid":1,"ts":1.000,"dur":9.000,"name":"b","args":{}},
{"ph":"C","pid":1,"tid":0,"ts":0.000,"name":"live","args":{"n":1}},
{"ph":"C","pid":1,"tid":0,"ts":10.000,"name":"live","args":{"n":0}}]}`
	if _, err := Check([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{
		{`"dur":9.000`, `"dur":9.001`}, {`"ts":1.000`, `"ts":0.000`}, {`"dur":9.000`, `"dur":-1.000`}, {`"ph":"X","pid":2,"tid":1,"ts":1.000`, `"ph":"X","pid":2,"ts":1.000`},
		{`"n":0`, `"n":1`}, {`"thread_name"`, `"thread_names"`}, {`"ts":10.000,"name":"live"`, `"ts":-1.000,"name":"live"`}, {`"ph":"C"`, `"ph":"Q"`}, {`]}`, `]`},
	} {
		bad := strings.Replace(good, c[0], c[1], 1)
		if _, err := Check([]byte(bad)); err == nil || bad == good {
			t.Errorf("%s for %s is not found", c[1], c[0])
		}
	}
}
