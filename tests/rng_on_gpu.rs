//! The shader draws the numbers that the CPU draws. Skipped where there is no adapter.

use noiselab::rng::{self, Draw};

const BLOCKS: u32 = 1 << 16;
const DRAW: Draw = Draw {
    seed: 0xFEDC_BA98_0123_4567,
    stream: rng::stream::SAMPLE_NOISE,
    step: 999,
    sample: 12,
};

const KERNEL: &str = "
@group(0) @binding(0) var<storage, read_write> words: array<vec4u>;
@group(0) @binding(1) var<storage, read_write> normals: array<vec4f>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
    let seed = vec2u(0x01234567u, 0xFEDCBA98u);
    words[id.x] = words4(seed, 7u, 999u, 12u, id.x);
    normals[id.x] = normal4(seed, 7u, 999u, 12u, id.x);
}";

#[test]
fn the_shader_and_the_cpu_draw_the_same_numbers() {
    let instance = wgpu::Instance::default();
    let Ok(adapter) = pollster::block_on(instance.request_adapter(&Default::default())) else {
        eprintln!("skipped: there is no adapter");
        return;
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&Default::default())).unwrap();
    let source = format!("{}{KERNEL}", include_str!("../shaders/shared/rng.wgsl"));
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(source.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: Default::default(),
        cache: None,
    });
    let bytes = u64::from(BLOCKS) * 16;
    let buffer = |usage| {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes,
            usage,
            mapped_at_creation: false,
        })
    };
    let storage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
    let outputs = [buffer(storage), buffer(storage)];
    let staging = outputs
        .each_ref()
        .map(|_| buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST));
    let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[
            wgpu::BindGroupEntry {
                binding: 0,
                resource: outputs[0].as_entire_binding(),
            },
            wgpu::BindGroupEntry {
                binding: 1,
                resource: outputs[1].as_entire_binding(),
            },
        ],
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups(BLOCKS / 64, 1, 1);
    }
    for (from, to) in outputs.iter().zip(&staging) {
        encoder.copy_buffer_to_buffer(from, 0, to, 0, bytes);
    }
    queue.submit([encoder.finish()]);
    for buffer in &staging {
        buffer.map_async(wgpu::MapMode::Read, .., |result| result.unwrap());
    }
    device.poll(wgpu::PollType::wait_indefinitely()).unwrap();

    let words: Vec<[u32; 4]> =
        bytemuck::pod_collect_to_vec(&staging[0].get_mapped_range(..).unwrap());
    let normals: Vec<[f32; 4]> =
        bytemuck::pod_collect_to_vec(&staging[1].get_mapped_range(..).unwrap());
    let mut worst = 0.0f32;
    for block in 0..BLOCKS {
        assert_eq!(words[block as usize], rng::words4(DRAW, block));
        for (gpu, cpu) in normals[block as usize]
            .iter()
            .zip(rng::normal4(DRAW, block))
        {
            worst = worst.max((gpu - cpu).abs() / cpu.abs().max(1.0));
        }
    }
    eprintln!("worst difference of the normals: {worst:e}");
    assert!(worst < 1e-5, "{worst:e}");
}
