
// Shared by every kernel. A dispatch may run in pieces: `slice.first_tile` is where this piece
// starts, so an output tile is the same whichever piece computes it.
struct Slice {
    first_tile: u32,
}
@group(1) @binding(0) var<uniform> slice: Slice;

// The logical workgroup: dispatches of more than 65535 groups are folded into two dimensions.
fn tile_index(workgroup: vec3<u32>, workgroups: vec3<u32>) -> u32 {
    return slice.first_tile + workgroup.y * workgroups.x + workgroup.x;
}
