//! What the page does for the program (`web/host.js`).

use js_sys::{Array, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// `app`, `test` or `shaders`, by the page's query.
    #[wasm_bindgen(js_namespace = noiselabPage)]
    pub fn mode() -> String;
    #[wasm_bindgen(js_namespace = noiselabPage, catch)]
    async fn fetch_file(path: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_namespace = noiselabPage, catch)]
    async fn pick_files(accept: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_namespace = noiselabPage)]
    fn save_file(name: &str, bytes: Uint8Array);
    #[wasm_bindgen(js_namespace = noiselabPage, catch)]
    async fn store_read(name: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_namespace = noiselabPage, catch)]
    async fn store_write(name: &str, bytes: Uint8Array) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_namespace = noiselabPage, catch)]
    async fn store_remove(name: &str) -> Result<JsValue, JsValue>;
    /// A remembered value.
    #[wasm_bindgen(js_namespace = noiselabPage)]
    pub fn recall(key: &str) -> Option<String>;
    /// Remembers a value for the next visit.
    #[wasm_bindgen(js_namespace = noiselabPage)]
    pub fn remember(key: &str, value: &str);
    /// What stands behind `#` in the page's address.
    #[wasm_bindgen(js_namespace = noiselabPage)]
    pub fn address() -> String;
    /// Replaces what stands behind `#`.
    #[wasm_bindgen(js_namespace = noiselabPage)]
    pub fn set_address(text: &str);
    /// The app is there: uncovers it.
    #[wasm_bindgen(js_namespace = noiselabPage)]
    pub fn started();
    /// Covers the app with a message: a sentence, and details for a report.
    #[wasm_bindgen(js_namespace = noiselabPage)]
    pub fn stopped(reason: &str, details: &str);
    /// Covers the app after a fault of its own.
    #[wasm_bindgen(js_namespace = noiselabPage)]
    pub fn panicked(details: &str);
    /// Covers the app and loads the page again.
    #[wasm_bindgen(js_namespace = noiselabPage)]
    pub fn device_lost(reason: &str, training: bool);
    /// Training ran when the device was lost before this start; true once.
    #[wasm_bindgen(js_namespace = noiselabPage)]
    pub fn take_resume() -> bool;
    /// What the browser calls the adapter.
    #[wasm_bindgen(js_namespace = noiselabPage)]
    pub fn adapter() -> String;
    /// A frame was laid out; the next one waits for [`frame_done`].
    #[wasm_bindgen(js_namespace = noiselabPage)]
    pub fn drawn();
    /// The device has drawn the frame; one that answers no input is to come after so many milliseconds.
    #[wasm_bindgen(js_namespace = noiselabPage)]
    pub fn frame_done(pause: f64);
    /// The next frame is to come without that pause.
    #[wasm_bindgen(js_namespace = noiselabPage)]
    pub fn hurry();
    /// Loads the page again.
    #[wasm_bindgen(js_namespace = noiselabPage)]
    pub fn reload();
    /// Asks for a tick at once.
    #[wasm_bindgen(js_namespace = noiselabPage)]
    pub fn wake();
}

/// What a JavaScript error says.
pub fn reason(error: &JsValue) -> String {
    let message = error.dyn_ref::<js_sys::Error>().map(|e| e.message().into());
    message
        .or_else(|| error.as_string())
        .unwrap_or_else(|| format!("{error:?}"))
}

/// A file that comes with the page, by its path below the page's folder.
///
/// # Errors
/// One sentence.
pub async fn fetch(path: &str) -> Result<Vec<u8>, String> {
    let bytes = fetch_file(path).await.map_err(|e| reason(&e))?;
    Ok(Uint8Array::new(&bytes).to_vec())
}

/// Files that the user chooses: names and contents.
///
/// # Errors
/// What the browser says.
pub async fn pick(accept: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
    let picked = pick_files(accept).await.map_err(|e| reason(&e))?;
    let file = |file: JsValue| {
        let get = |key: &str| Reflect::get(&file, &key.into()).map_err(|e| reason(&e));
        Ok((
            get("name")?.as_string().unwrap_or_default(),
            Uint8Array::new(&get("bytes")?).to_vec(),
        ))
    };
    Array::from(&picked).iter().map(file).collect()
}

/// Downloads a file.
pub fn download(name: &str, bytes: &[u8]) {
    save_file(name, Uint8Array::from(bytes));
}

/// Reads from the browser's storage.
///
/// # Errors
/// What the browser says.
pub async fn read(name: &str) -> Result<Option<Vec<u8>>, String> {
    let found = store_read(name).await.map_err(|e| reason(&e))?;
    Ok((!found.is_undefined()).then(|| Uint8Array::new(&found).to_vec()))
}

/// Writes to the browser's storage, whole or not at all.
///
/// # Errors
/// What the browser says.
pub async fn write(name: &str, bytes: &[u8]) -> Result<(), String> {
    let array = Uint8Array::from(bytes);
    store_write(name, array).await.map_err(|e| reason(&e))?;
    Ok(())
}

/// Removes from the browser's storage.
///
/// # Errors
/// What the browser says.
pub async fn remove(name: &str) -> Result<(), String> {
    store_remove(name).await.map_err(|e| reason(&e))?;
    Ok(())
}
