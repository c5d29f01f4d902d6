package portal

import (
	"cmp"
	"slices"
)

// Sizes of a drawn graph. A page shows five columns at their own size; wider graphs scroll inside their card.
const (
	nodeWidth, nodeHeight = 152.0, 40.0
	columnGap, rowGap     = 44.0, 10.0
	maxDrawn              = 240 // nodes; a larger graph is a wall of boxes, and the table says the same
)

// vertex is a node of a graph to lay out; its name must be unique among the nodes.
type vertex struct{ ID string }

// arc is an edge between vertices. Condition is shown by the stroke.
type arc struct {
	From, To  string
	Condition string
}

// placed is a vertex with the place of its upper left corner.
type placed struct {
	ID   string
	X, Y float64
}

// route is an edge as a run of points, left to right: more than two when it passes columns in between.
type route struct {
	arc
	Points [][2]float64
}

// drawing is a graph with a place for everything in it.
type drawing struct {
	Width, Height float64
	Nodes         []placed
	Routes        []route
	Left          int // vertices that were left out
}

// cell is a place in a column: a vertex, or a bend of an edge that passes by (node -1).
type cell struct {
	node, column int
	y            float64
	middle       float64 // of its neighbours
	up, down     []*cell
}

func (c *cell) height() float64 {
	if c.node < 0 {
		return rowGap
	}
	return nodeHeight
}

// layout draws a directed graph in columns: a vertex stands right of everything that it comes after. Edges that would
// close a circle, come from or go to nowhere, or repeat another are left out, so any input gives a picture.
func layout(vertices []vertex, arcs []arc) drawing {
	d := drawing{}
	if len(vertices) > maxDrawn {
		d.Left = len(vertices) - maxDrawn
		vertices = vertices[:maxDrawn]
	}
	index := map[string]int{}
	for _, v := range vertices {
		if _, twice := index[v.ID]; !twice {
			index[v.ID] = len(index)
		}
	}
	names := make([]string, len(index))
	for id, i := range index {
		names[i] = id
	}
	edges, conditions := acyclic(names, index, arcs)
	columns, ends := arrange(len(names), edges)
	for range 4 {
		sweep(columns)
	}
	d.Width, d.Height = place(columns)
	for x, column := range columns {
		for _, c := range column {
			if c.node >= 0 {
				d.Nodes = append(d.Nodes, placed{names[c.node], columnX(x), c.y})
			}
		}
	}
	for i, e := range edges {
		d.Routes = append(d.Routes, route{
			arc:    arc{From: names[e[0]], To: names[e[1]], Condition: conditions[i]},
			Points: points(ends[i]),
		})
	}
	return d
}

func columnX(i int) float64 { return float64(i) * (nodeWidth + columnGap) }

// acyclic keeps the edges that go forward in a depth-first walk.
func acyclic(names []string, index map[string]int, arcs []arc) (edges [][2]int, conditions []string) {
	out := make([][]int, len(names)) // indexes of arcs
	seen := map[[2]int]bool{}
	for i, a := range arcs {
		from, ok1 := index[a.From]
		to, ok2 := index[a.To]
		if ok1 && ok2 && from != to && !seen[[2]int{from, to}] {
			seen[[2]int{from, to}] = true
			out[from] = append(out[from], i)
		}
	}
	state := make([]int, len(names)) // 0 not seen, 1 on the way, 2 done
	back := map[int]bool{}
	var walk func(int)
	walk = func(n int) {
		state[n] = 1
		for _, i := range out[n] {
			switch to := index[arcs[i].To]; state[to] {
			case 0:
				walk(to)
			case 1:
				back[i] = true
			}
		}
		state[n] = 2
	}
	for n := range names {
		if state[n] == 0 {
			walk(n)
		}
	}
	for n := range names {
		for _, i := range out[n] {
			if !back[i] {
				edges = append(edges, [2]int{n, index[arcs[i].To]})
				conditions = append(conditions, arcs[i].Condition)
			}
		}
	}
	return edges, conditions
}

// arrange gives every vertex its column and threads each edge through the columns between.
func arrange(n int, edges [][2]int) (columns [][]*cell, ends [][]*cell) {
	depth := make([]int, n)
	for changed, rounds := true, 0; changed && rounds <= n; rounds++ {
		changed = false
		for _, e := range edges {
			if depth[e[1]] < depth[e[0]]+1 {
				depth[e[1]] = depth[e[0]] + 1
				changed = true
			}
		}
	}
	cells := make([]*cell, n)
	for i := range cells {
		cells[i] = &cell{node: i, column: depth[i]}
		for len(columns) <= depth[i] {
			columns = append(columns, nil)
		}
		columns[depth[i]] = append(columns[depth[i]], cells[i])
	}
	ends = make([][]*cell, len(edges))
	for i, e := range edges {
		last := cells[e[0]]
		path := []*cell{last}
		for x := depth[e[0]] + 1; x < depth[e[1]]; x++ {
			bend := &cell{node: -1, column: x}
			columns[x] = append(columns[x], bend)
			join(last, bend)
			last = bend
			path = append(path, bend)
		}
		join(last, cells[e[1]])
		ends[i] = append(path, cells[e[1]])
	}
	return columns, ends
}

func join(a, b *cell) {
	a.down = append(a.down, b)
	b.up = append(b.up, a)
}

// sweep orders each column by the middle of its neighbours, first rightwards, then leftwards: fewer edges cross.
func sweep(columns [][]*cell) {
	number := func(column []*cell) {
		for i, c := range column {
			c.y = float64(i)
		}
	}
	for _, c := range columns {
		number(c)
	}
	order := func(column []*cell, beside func(*cell) []*cell) {
		for _, c := range column {
			c.middle = c.y
			if near := beside(c); len(near) > 0 {
				sum := 0.0
				for _, n := range near {
					sum += n.y
				}
				c.middle = sum / float64(len(near))
			}
		}
		slices.SortStableFunc(column, func(a, b *cell) int { return cmp.Compare(a.middle, b.middle) })
		number(column)
	}
	for _, column := range columns {
		order(column, func(c *cell) []*cell { return c.up })
	}
	for i := len(columns) - 1; i >= 0; i-- {
		order(columns[i], func(c *cell) []*cell { return c.down })
	}
}

// place stacks each column and centres it on the tallest.
func place(columns [][]*cell) (width, height float64) {
	tall := func(column []*cell) float64 {
		h := -rowGap
		for _, c := range column {
			h += c.height() + rowGap
		}
		return max(h, 0)
	}
	for _, column := range columns {
		height = max(height, tall(column))
	}
	for _, column := range columns {
		y := (height - tall(column)) / 2
		for _, c := range column {
			c.y = y
			y += c.height() + rowGap
		}
	}
	if len(columns) > 0 {
		width = columnX(len(columns)-1) + nodeWidth
	}
	return width, height
}

// points leads an edge from the right side of its first node to the left side of its last, straight through columns.
func points(path []*cell) [][2]float64 {
	var out [][2]float64
	for i, c := range path {
		x, y := columnX(c.column), c.y+c.height()/2
		if i > 0 {
			out = append(out, [2]float64{x, y})
		}
		if i < len(path)-1 {
			out = append(out, [2]float64{x + nodeWidth, y})
		}
	}
	return out
}
