// SPDX-License-Identifier: Apache-2.0

package freelist

import "testing"

func TestList(t *testing.T) {
	var l List[int]
	a, b := l.Get(), l.Get()
	if a == b || *a != 0 || *b != 0 {
		t.Fatalf("an empty list gave %p and %p", a, b)
	}
	*a = 7
	l.Put(a)
	if c := l.Get(); c != a || *c != 7 {
		t.Errorf("got %p, want %p back as it was", c, a)
	}
	if c := l.Get(); c == a || *c != 0 {
		t.Errorf("%p given out twice", c)
	}
	if n := testing.AllocsPerRun(100, func() { l.Put(l.Get()) }); n != 0 {
		t.Errorf("%v allocations for what is there already", n)
	}
}
