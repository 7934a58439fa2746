package backends

import "context"

// Rebuilder is what a Backend may be as well: one whose targets can have two generations side by side, so that a
// rebuild fills a new one while readers still see the old one.
//
// Prepare makes the generations that its targets name, and shows readers one that is not Building if they see none
// yet; it may put off for one that is Building what makes filling slow, such as copies. Write, Scan and Lookup
// concern the generation of their target.
type Rebuilder interface {
	// Finish catches up on what Prepare put off for a target that is Building, and waits until the generation can serve
	// as well as the one before. Readers do not see it yet, and it is written to meanwhile. It can be repeated, and
	// may take as long as it needs, until ctx ends.
	Finish(ctx context.Context, target Target) error

	// Serve makes readers see this generation of the target, and no other, from one moment to the next, once it can
	// serve as well as the one before. Everything that was written to it is readable then. The target is not
	// Building any more. It can be repeated. After Finish it takes seconds at most: nobody writes the generation before
	// meanwhile, so that what readers see gets old.
	Serve(ctx context.Context, target Target) error

	// Drop removes a generation of the target with its data, if it is there. It refuses the one that readers see.
	Drop(ctx context.Context, target Target) error
}
