// Which components of the vec4 number `i` of a [.., C] tensor are channels and not padding.
fn is_channel(i: u32, c4: u32, channels: u32) -> vec4<bool> {
    return vec4u(i % c4 * 4u) + vec4u(0u, 1u, 2u, 3u) < vec4u(channels);
}
