package top

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// plainLines encodes lines without colours.
func plainLines(all []line, room int) (texts []string) {
	for _, l := range all {
		texts = append(texts, l.encode(room, false))
	}
	return texts
}

func TestATableGivesWayFromItsNamesFirst(t *testing.T) {
	t.Parallel()
	sample := table{
		columns: []column{{head: "W", least: 10}, {head: "model", least: 10, rank: 1}, {head: "waited", right: true}, {head: "place", right: true, rank: 2}},
		rows:    []line{cells("a-very-long-agent", "a-very-long-model-name", "1.2s", "1"), cells("b", "m", "12s", "10")},
	}
	for _, tt := range []struct {
		room int
		want []string
	}{
		{0, []string{
			"W 2                model                   waited  place",
			"a-very-long-agent  a-very-long-model-name    1.2s      1",
			"b                  m                          12s     10",
		}},
		{40, []string{
			"W 2          model         waited  place",
			"a-very-lon~  a-very-long~    1.2s      1",
			"b            m                12s     10",
		}},
		{35, []string{
			"W 2           model          waited",
			"a-very-long~  a-very-long-~    1.2s",
			"b             m                 12s",
		}},
		{20, []string{
			"W 2           waited",
			"a-very-long~    1.2s",
			"b                12s",
		}},
		{9, []string{"W 2", "a-very-l~", "b"}},
	} {
		if got := plainLines(sample.lay(tt.room, 3), tt.room); !slices.Equal(got, tt.want) {
			t.Errorf("in %d columns:\n%s\nwant\n%s", tt.room, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
		}
	}
}

func TestATableSaysHowManyRowsThereAre(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rows, more, height int
		want               []string
	}{
		{3, 0, 4, []string{"N 3", "0", "1", "2"}},
		{3, 0, 9, []string{"N 3", "0", "1", "2"}},
		{3, 0, 3, []string{"N 3", "0", "1"}},
		{3, 5, 5, []string{"N 8", "0", "1", "2"}},
		{3, 5, 2, []string{"N 8", "0"}},
		{0, 0, 2, []string{"N 0", "nobody"}},
	} {
		sample := table{columns: []column{{head: "N"}}, more: tt.more, empty: "nobody"}
		for i := range tt.rows {
			sample.rows = append(sample.rows, cells(strconv.Itoa(i)))
		}
		if got := plainLines(sample.lay(0, tt.height), 0); !slices.Equal(got, tt.want) {
			t.Errorf("%d rows and %d more in %d lines: %q; want %q", tt.rows, tt.more, tt.height, got, tt.want)
		}
	}
}

func TestSectionsShareTheLines(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		room, least int
		wants, want []int
	}{
		{20, 2, []int{5, 6, 7}, []int{5, 6, 7}},
		{12, 2, []int{5, 6, 7}, []int{4, 4, 4}},
		{14, 2, []int{2, 9, 9}, []int{2, 6, 6}},
		{5, 2, []int{9, 9, 9}, []int{3, 2, 0}},
		{3, 3, []int{9, 9, 9}, []int{3, 0, 0}},
		{1, 2, []int{9, 9}, []int{0, 0}},
		{-3, 2, []int{9, 9}, []int{0, 0}},
	} {
		if got := share(tt.room, tt.least, tt.wants); !slices.Equal(got, tt.want) {
			t.Errorf("share(%d, %d, %v) = %v; want %v", tt.room, tt.least, tt.wants, got, tt.want)
		}
	}
}
